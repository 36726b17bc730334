"""What measured figures depend on beside the code."""

import platform
from pathlib import Path

import numpy as np
import torch

from gdshare import __version__


def versions() -> dict[str, str]:
    """Releases and machine, for the record of a benchmark."""
    return {
        "gdshare": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor unknown"
