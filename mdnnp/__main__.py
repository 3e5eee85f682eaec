"""`python -m mdnnp`."""

import sys

from mdnnp.cli import main

sys.exit(main())
