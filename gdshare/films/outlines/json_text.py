"""Parsing other tools' JSON safely, and validating the result against a model.

NaN and infinity may occur in the text, since QuPath writes NaN among its measurements. As
coordinates the models reject them.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from gdshare.errors import FilmError
from gdshare.films.bounds import MAX_PIXELS
from gdshare.films.outlines.polygons import MAX_COORDINATE
from gdshare.films.quote import printable

MAX_VALUES = 20_000_000
"""Limit for a file: 10,000 films of 1,000 vertices. They take at most 2 GB of memory."""

_Item = TypeVar("_Item")
ListOf = Annotated[list[_Item], FailFast()]
"""A list that is checked up to its first bad item: a million bad items give one error."""
Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
Length = Annotated[int, Field(ge=0, le=MAX_PIXELS)]
Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]


class Record(BaseModel):
    """Fields of a file, of exactly these types; other fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


_Record = TypeVar("_Record", bound=BaseModel)


def parse_json(data: bytes) -> object:
    """Parse a JSON document; the caller bounds its size.

    Raises:
        FilmError: not JSON in UTF-8, a repeated key, nested too deeply, or too many values; the
            error names no file.
    """
    # Checked before parsing, which takes memory. Every value but the first follows one of these.
    values = sum(data.count(mark) for mark in (b",", b"[", b"{"))
    if values > MAX_VALUES:
        raise FilmError(
            f"has about {values:,} values ({MAX_VALUES:,} at most)",
            remedy="export fewer films per file",
        )
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise FilmError(
            "is nested too deeply for an annotation", remedy="export it again"
        ) from error
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError, an overlong integer
        raise FilmError(f"is not readable JSON ({error})", remedy="export it again") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        [(repeated, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {printable(repeated)} is repeated")
    return value


@contextmanager
def located(place: object) -> Iterator[None]:
    """Say where in the file an error arose."""
    try:
        yield
    except FilmError as error:
        raise error.at(place) from error


def validated(model: type[_Record], value: object, name: str) -> _Record:
    """Validate a parsed value.

    Args:
        model: the class to validate against.
        value: from ``parse_json``.
        name: of the value, for messages.

    Raises:
        FilmError: a field is missing or has another type; the error names the first such field, and
            no file.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        why = "should be an object" if first["type"] == "model_type" else first["msg"]
        raise FilmError(
            f"{name} is not as its tool writes it ({where[:80]}: {why})", remedy="export it again"
        ) from error
