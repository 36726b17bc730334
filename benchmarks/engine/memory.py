"""Resident memory of this process and its peak, from Linux's /proc."""

import ctypes
import gc
from pathlib import Path

from gdshare.errors import UsageError

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"


class PeakMemory:
    """The highest resident memory since this was made, and what was resident then; bytes."""

    def __init__(self) -> None:
        _give_back()
        try:
            CLEAR.write_text(RESET_PEAK)
        except OSError as error:
            raise UsageError(
                f"{CLEAR}: cannot be written ({error}), and only there can the peak of memory be "
                "set back; run the benchmark on Linux with /proc"
            ) from error
        self.before = _read("VmRSS")

    def peak(self) -> int:
        """Highest resident memory so far."""
        return _read("VmHWM")


def _give_back() -> None:
    """Return freed memory to the system, or what was used before would hide what is used next."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other C libraries lack it
    if trim is not None:
        trim(0)


def _read(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise UsageError(f"{STATUS}: has no {field}; run the benchmark on Linux")
