"""Environments with one minor version of Flower each, beside the one that the tests run in.

Everything else, torch above all, comes from the tests' own environment by a path file, which is
written after pip has run: pip must not find, and replace, what lies there. Set GDSHARE_FLOWERS to a
folder to keep the environments for another run of the tests.
"""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEPT = "GDSHARE_FLOWERS"


def python_with_flower(minor: str, folder: Path) -> Path:
    """The interpreter of an environment with the newest Flower of a minor version.

    Args:
        minor: such as ``1.41``.
        folder: where to make it, unless it is kept from another run.
    """
    home = Path(os.environ.get(KEPT, folder)) / minor
    python = home / "bin" / "python"
    ours = home / sysconfig.get_path("purelib", vars={"base": "."}) / "gdshare-tests.pth"
    if ours.exists():
        return python
    venv.create(home, with_pip=True)
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"flwr=={minor}.*"]
    installed = subprocess.run(
        [str(python), *words], capture_output=True, text=True, check=False, timeout=280
    )
    if installed.returncode:
        pytest.skip(f"Flower {minor} cannot be installed here: {installed.stderr[-300:]}")
    ours.write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return python


def flower_of(python: Path) -> str:
    """Its version."""
    words = [str(python), "-P", "-c", "import importlib.metadata as m; print(m.version('flwr'))"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
