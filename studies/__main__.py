"""``python -m studies NAME``: a study of the method, from its cells to its tables."""

import sys

from studies.command import main

if __name__ == "__main__":
    main(sys.argv[1:])
