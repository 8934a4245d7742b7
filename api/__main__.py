"""``python -m jobyard`` is ``jobctl``."""

from jobyard.client.cli.main import program

program()
