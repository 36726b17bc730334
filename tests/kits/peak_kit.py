"""Peak memory of a process."""

from pathlib import Path


def peak_mb() -> float:
    """Peak resident memory of this process, in MB.

    Not ``ru_maxrss``, which a process inherits from the one that started it.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM line")
