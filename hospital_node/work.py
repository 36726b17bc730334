"""How much this hospital computes for others, kept for a day, so that it can be limited.

Before a question is answered, all the seconds that it may take are written down, and afterwards
those it took: whoever stops the node half way gains none. The record is by the hour, and only the
last 24 hours count; an hour in the future, after a clock was set back, counts too.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import FederationError
from gdshare.lock import lock, lock_beside
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.storage import write_json

FILE = "work.json"
DAY = timedelta(hours=24)
HOUR = "%Y-%m-%dT%H"

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class WorkError(FederationError):
    """A record of computing that cannot be read."""


class Work(BaseModel):
    """``work.json``: hour (UTC) -> seconds of computing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-work/1"] = "gdshare-work/1"
    hours: Annotated[dict[str, Seconds], Field(max_length=1000)] = {}

    def of_the_day(self, now: datetime) -> dict[str, float]:
        """The hours that count."""
        first = f"{now - DAY:{HOUR}}"
        return {hour: seconds for hour, seconds in self.hours.items() if hour >= first}


@dataclass(frozen=True)
class Grant:
    """Seconds that one answer may take, written down already."""

    hour: str
    seconds: float


def grant(state: Path, wanted: float, limit: float, now: datetime | None = None) -> Grant:
    """Write down the seconds that an answer may take: ``wanted``, or what is left of the day's.

    Returns:
        the seconds granted; 0: none are left.

    Raises:
        WorkError: the record is damaged.
        LockedError: another process has locked it.
    """
    now = now or datetime.now(UTC)
    with lock(lock_beside(state / FILE)):
        hours = _read(state).of_the_day(now)
        granted = Grant(f"{now:{HOUR}}", max(0.0, min(wanted, limit - sum(hours.values()))))
        _write(state, hours, granted, granted.seconds)
    return granted


def settle(state: Path, granted: Grant, spent: float) -> None:
    """Put the seconds that an answer took in the place of those granted.

    Raises:
        WorkError, LockedError: as ``grant``.
    """
    with lock(lock_beside(state / FILE)):
        _write(state, _read(state).hours, granted, spent - granted.seconds)


def _write(state: Path, hours: dict[str, float], granted: Grant, change: float) -> None:
    seconds = max(0.0, hours.get(granted.hour, 0.0) + change)
    work = Work(hours={**hours, granted.hour: round(seconds, 3)})
    write_json(state / FILE, work.model_dump(mode="json"))


def _read(state: Path) -> Work:
    path = state / FILE
    try:
        return Work.model_validate_json(read_plain(path, MAX_RECORD))
    except FileNotFoundError:
        return Work()
    except (OSError, ValidationError) as error:
        raise WorkError("damaged", path, "look into it by hand") from error
