"""The address of a SuperLink or of its proxy: HOST:PORT."""

import re

from gdshare.errors import UsageError

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", re.ASCII)


def parse_address(text: str, option: str = "") -> tuple[str, int]:
    """HOST:PORT in its parts; an IPv6 address is written in brackets, which are taken off.

    Args:
        text: what somebody typed.
        option: where, for the error.

    Raises:
        UsageError: it is none. Flower takes some words for the order to start a SuperLink.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or not 1 <= int(match[2]) <= 65_535:
        raise UsageError(f"{text!r:.80} is no address", option, "write HOST:PORT, without https://")
    return match[1].strip("[]"), int(match[2])
