"""Reading JSON of other tools without its traps, and fitting what was read to a model.

Numbers that are none (NaN) pass here, since QuPath writes them among its measurements; no model
takes one where a coordinate stands.
"""

import json
from collections import Counter
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from gdshare.errors import FilmError
from gdshare.films.bounds import MAX_PIXELS
from gdshare.films.outlines.annotation_set import quoted
from gdshare.films.outlines.polygons import MAX_COORDINATE

MAX_VALUES = 20_000_000
"""In one file: 10,000 films of 1,000 vertices. They take 2 GB in memory at worst."""

_Item = TypeVar("_Item")
ListOf = Annotated[list[_Item], FailFast()]
"""Stops at the first item of another type, or a list of millions would make as many faults."""
Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
Length = Annotated[int, Field(ge=0, le=MAX_PIXELS)]
Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]


class Record(BaseModel):
    """What a file says, in exactly these types; fields that a tool adds are passed over."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


_Record = TypeVar("_Record", bound=BaseModel)


def parse_json(data: bytes) -> object:
    """Read a JSON document of bounded size.

    Raises:
        FilmError: not JSON in UTF-8, a key repeated, nested too deeply, or too many values; the
            message does not name the file.
    """
    # Each value but the first follows one of these, so memory is bounded before any is spent.
    values = sum(data.count(mark) for mark in (b",", b"[", b"{"))
    if values > MAX_VALUES:
        raise FilmError(
            f"holds about {values:,} values ({MAX_VALUES:,} at most)",
            remedy="export fewer films a file",
        )
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
    except RecursionError as error:
        raise FilmError(
            "is nested too deeply for an annotation", remedy="export it again"
        ) from error
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError, an integer without end
        raise FilmError(f"is not readable JSON ({error})", remedy="export it again") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {quoted(twice)} is there twice")
    return value


def fitted(model: type[_Record], value: object, what: str) -> _Record:
    """Take a parsed value as ``model``.

    Args:
        model: what it must be.
        value: of ``parse_json``.
        what: what to call it in a message.

    Raises:
        FilmError: a field is missing or of another type; the message names the first such field,
            and not the file.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "all of it"
        why = "should be an object" if first["type"] == "model_type" else first["msg"]
        raise FilmError(
            f"{what} is not as its tool writes it ({where[:80]}: {why})", remedy="export it again"
        ) from error
