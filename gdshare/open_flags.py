"""Flags of ``os.open`` that some systems lack; there they are 0 and change nothing."""

import os

NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""Refuse a link. Not on Windows."""
BINARY: int = getattr(os, "O_BINARY", 0)
"""Write bytes as they are. Only Windows has it, and would write line ends of its own."""
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
"""Do not wait for a pipe's other end. Not on Windows, where no folder holds a pipe."""
NO_TERMINAL: int = getattr(os, "O_NOCTTY", 0)
"""Do not become the foreground of a terminal that is opened. Not on Windows."""
