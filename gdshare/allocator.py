"""How the C library deals with memory that torch has freed."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's own numbers for two of ``mallopt``'s parameters (mallopt(3))."""

LARGEST_KEPT = (2**30, 2**25)
"""Bytes: larger buffers go back to the kernel at once. The second is what older glibc allows."""


def keep_freed_memory() -> bool:
    """Have the process keep freed buffers for its next ones. For commands that compute, then end.

    On a CPU torch frees and asks for the same large buffers layer by layer. By default glibc hands
    each back to the kernel, which clears its pages anew every time: a ConvNet's forward pass over
    600 patches of 32 px took 0.9 s of that beside 0.9 s of work. What is kept is no more than what
    the process once had at its peak.

    Returns:
        whether the C library took it; one that has no ``mallopt`` does not, and nothing changes.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None:
        return False
    kept = any(mallopt(M_MMAP_THRESHOLD, largest) for largest in LARGEST_KEPT)
    return bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1)) and kept
