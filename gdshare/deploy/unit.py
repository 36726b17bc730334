"""What a unit of systemd starts, read back: for the doctors, and for the compose files."""

import json
import shlex
from collections.abc import Mapping
from typing import Final

IMAGE_BIN: Final = "/opt/gdshare/bin"
"""Where docs/deploy/Dockerfile installs gdshare."""


def unit_words(unit: str, key: str = "ExecStart") -> list[str]:
    """The words of a unit's command line, or of another key's lines; none without such a line.

    Args:
        unit: the file's text.
        key: such as ``Environment``.

    Raises:
        ValueError: a quotation that does not end.
    """
    lines = unit.replace("\\\n", " ").splitlines()
    values = [line.removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")]
    return shlex.split(" ".join(values))


def in_container(unit: str) -> Mapping[str, str]:
    """A unit's ``command`` and ``environment``, in the words of a compose file."""
    return {
        "command": json.dumps(unit_words(unit)),
        "environment": json.dumps(unit_words(unit, "Environment")),
    }
