"""What measured figures depend on beside the code."""

import platform
from pathlib import Path

import numpy as np
import torch

from gdshare import __version__

CPUINFO = Path("/proc/cpuinfo")


def versions() -> dict[str, str]:
    """Releases and machine, for the record of a benchmark."""
    return {
        "gdshare": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": machine(),
    }


def machine() -> str:
    """What CPU-seconds depend on: system, processor, and the instructions that torch uses."""
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.system()} {platform.machine()}, {_processor()}, {capability}"


def _processor() -> str:
    """Its name, with the numbers that tell the generations of one name apart."""
    if not CPUINFO.exists():
        return platform.processor() or "processor unknown"
    first, _, _ = CPUINFO.read_text(encoding="utf-8").partition("\n\n")
    told = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in first.splitlines())
    }
    numbers = [
        f"{name.split()[-1]} {told[name]}" for name in ("cpu family", "model") if name in told
    ]
    return ", ".join([told.get("model name", "processor unknown"), *numbers])
