"""Starting a process that imports what the tests import, wherever they stand."""

import os
import sys


def environment(**further: str) -> dict[str, str]:
    """This process's environment, with its import path and ``further`` variables."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **further}
