"""What a check of a set-up finds, each with what to do; and the checks that both sides share."""

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from gdshare.deploy.certificates import WARN_DAYS, read_certificates
from gdshare.errors import GdshareError
from gdshare.flower import KNOWN, is_known

LEAST_FREE_BYTES: Final = 2 * 1024**3
AHEAD_S, BEHIND_S = 5, 300
"""How far a node's clock may be from the SuperLink's (Flower's SYSTEM_TIME_TOLERANCE and
TIMESTAMP_TOLERANCE)."""
WARN_CLOCK_S = 2


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        subject: what was looked at, such as ``clock``.
        state: fault: a round fails or a door is open; warning: soon, or perhaps.
        what: one sentence.
        remedy: what to do; empty if nothing.
    """

    subject: str
    state: State
    what: str
    remedy: str = ""

    def as_data(self) -> dict[str, str]:
        """For JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


def ok(subject: str, what: str) -> Finding:
    """All is well."""
    return Finding(subject, State.OK, what)


def warning(subject: str, what: str, remedy: str) -> Finding:
    """Something to see to."""
    return Finding(subject, State.WARNING, what, remedy)


def fault(subject: str, what: str, remedy: str) -> Finding:
    """Something that has to be mended."""
    return Finding(subject, State.FAULT, what, remedy)


def has_fault(findings: Sequence[Finding]) -> bool:
    """Whether one of them is a fault."""
    return any(finding.state is State.FAULT for finding in findings)


def clock_finding(ahead: float) -> Finding:
    """How this machine's clock stands to the other side's.

    Args:
        ahead: seconds by which this clock is ahead of the SuperLink's; negative: behind.
    """
    seconds, way = abs(ahead), "ahead of" if ahead > 0 else "behind"
    said = f"this machine's clock is {seconds:.0f} s {way} the SuperLink's"
    remedy = "set both clocks by NTP (timedatectl set-ntp true)"
    if ahead > AHEAD_S or -ahead > BEHIND_S:
        bound = f"{AHEAD_S} s ahead and {BEHIND_S} s behind are the limits"
        return fault(
            "clock", f"{said}, and the SuperLink refuses this node for it: {bound}", remedy
        )
    if seconds > WARN_CLOCK_S:
        return warning("clock", f"{said}; {AHEAD_S} s ahead is the limit", remedy)
    return ok("clock", f"within {max(seconds, 1):.0f} s of the SuperLink's")


def certificate_finding(subject: str, path: Path, now: datetime, remedy: str) -> Finding:
    """When a file's first certificate ends; warns 30 days ahead.

    Args:
        subject: for the finding.
        path: a PEM file.
        now: UTC.
        remedy: how to get a new one.
    """
    try:
        certificate = read_certificates(path)[0]
    except GdshareError as error:
        return fault(subject, f"{error.where}: {error.what}", error.remedy)
    if now < certificate.not_valid_before_utc:
        begin = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
        return fault(subject, f"{path} begins on {begin}", "check this machine's clock")
    return end_finding(subject, str(path), certificate.not_valid_after_utc, now, remedy)


def end_finding(subject: str, name: str, end: datetime, now: datetime, remedy: str) -> Finding:
    """When something ends; warns 30 days ahead.

    Args:
        subject: for the finding.
        name: what it is, such as a file.
        end: its last moment.
        now: UTC.
        remedy: how to get a new one.
    """
    left = (end - now) / timedelta(days=1)
    if left < 0:
        return fault(subject, f"{name} ended on {end:%Y-%m-%d}", remedy)
    if left < WARN_DAYS:
        return warning(subject, f"{name} ends in {left:.0f} days, on {end:%Y-%m-%d}", remedy)
    return ok(subject, f"{name} is good until {end:%Y-%m-%d}")


def disk_finding(folder: Path) -> Finding:
    """How much room a folder's disk has left."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return fault("disk", f"{folder}: {error.strerror}", "make the folder")
    said = f"{free / 1024**3:.1f} GiB free for {folder}"
    if free < LEAST_FREE_BYTES:
        return fault("disk", said, f"make room: {LEAST_FREE_BYTES // 1024**3} GiB at least")
    return ok("disk", said)


def secret_finding(path: Path, owner: int | None) -> Finding:
    """Whether a key is its owner's alone.

    Args:
        path: the key.
        owner: whose it has to be, a user's id; None: anybody's.
    """
    subject = f"key {path.name}"
    try:
        status = path.stat()
    except OSError as error:
        return fault(subject, f"{path}: {error.strerror}", "run init, or put it back")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        return fault(subject, f"{path} can be read by other users", f"chmod 600 {path}")
    if owner is not None and status.st_uid != owner:
        return fault(subject, f"{path} is another user's than it runs as", f"chown {owner} {path}")
    return ok(subject, f"{path} is its owner's alone")


def version_findings() -> list[Finding]:
    """Whether gdshare and a known Flower are installed."""
    said = f"gdshare {version('gdshare')}"
    try:
        flower = version("flwr")
    except PackageNotFoundError:
        return [fault("versions", "Flower is not installed", "pip install 'gdshare[federation]'")]
    if not is_known(flower):
        remedy = f"pip install 'gdshare[federation]', which brings one of {', '.join(KNOWN)}"
        return [fault("versions", f"Flower {flower} is not known to {said}", remedy)]
    return [ok("versions", f"{said}, Flower {flower}")]


def is_root() -> bool:
    """Whether this process may act as other users."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
