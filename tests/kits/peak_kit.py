"""How much memory a process held at most."""

from pathlib import Path


def peak_mb() -> float:
    """Of this process since it began its program, in MB.

    Not ``ru_maxrss``, which a process inherits from the one that started it.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell")
