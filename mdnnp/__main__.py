"""`python -m mdnnp`."""

import sys

from mdnnp.command.cli import main

sys.exit(main())
