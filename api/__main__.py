"""``python -m jobyard`` is ``jobctl``."""

from jobyard.client.cli.start import program

program()
