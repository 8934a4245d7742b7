"""``python -m jobyard`` is ``jobctl``."""

import sys

from jobyard.client.cli.main import main

sys.exit(main())
