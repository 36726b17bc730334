"""The words of a signed file: sites, digests and times, each written in one way only."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer

SITE: Final = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
"""The short name of a hospital or an aggregator: a pattern for ``re.fullmatch``."""
SiteName = Annotated[str, Field(pattern=f"^{SITE}$")]

HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
"""A SHA-256 in lower-case hex."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

HOUR = re.compile(
    r"20[2-9]\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):00:00Z", re.ASCII
)
"""A time rounded down to the hour, as ``format_hour`` writes it."""


def format_utc(moment: datetime) -> str:
    """Write a time in UTC and whole seconds, such as ``2026-01-31T12:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hour_of(moment: datetime) -> datetime:
    """Round a time down to the hour, in UTC: the minute would say when somebody was at work."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def format_hour(moment: datetime) -> str:
    """Write a time rounded down to the hour."""
    return format_utc(hour_of(moment))


def _instant(value: object) -> object:
    """Accept the one way to write a time; leave every other value to pydantic's checks."""
    if not isinstance(value, str):
        return value
    if len(value) != len("2026-01-31T12:00:00Z") or value[-1] != "Z":
        raise ValueError("a time is written YYYY-MM-DDTHH:MM:SSZ")
    return datetime.fromisoformat(value[:-1]).replace(tzinfo=UTC)


Instant = Annotated[datetime, BeforeValidator(_instant), PlainSerializer(format_utc)]
