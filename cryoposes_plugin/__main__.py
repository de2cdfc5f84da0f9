"""`python -m cryoposes_plugin` is the program `cryoposes`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
