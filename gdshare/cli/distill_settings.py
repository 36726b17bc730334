"""What a run is asked for: settings and guarantee, from a file and the command line."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gdshare.errors import UsageError
from gdshare.method import Settings
from gdshare.plain_files import MAX_RECORD, read_plain

if TYPE_CHECKING:
    from gdshare.private.account import Budget


def read_settings(config: Path | None, options: dict[str, Any], initial: Settings) -> Settings:
    """Combine settings; the command line overrides the file, and the file the initial values.

    Raises:
        UsageError: the file is unreadable, or a name or value is invalid.
    """
    values = {name: value for name, value in _toml(config).items() if name != "privacy"}
    try:
        return Settings(**(initial.model_dump(exclude_unset=True) | values | options))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""  # empty: values that conflict
        source = "" if name in options or config is None else str(config)
        if not name and config is not None and options:
            source = f"{config} with the options given"
        where = ": ".join(part for part in (source, name.replace("_", "-")) if part)
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(reason, where, "see gdshare distill --help") from error


def read_budget(config: Path | None, epsilon: float | None, delta: float | None) -> "Budget | None":
    """The guarantee that was asked for, by the command line or the table ``[privacy]`` of the file.

    Raises:
        UsageError: the file is unreadable; a name or value is invalid, or δ stands without ε.
    """
    from gdshare.private.account import Budget

    table = _toml(config).get("privacy", {})
    where = f"{config}: privacy"
    if not isinstance(table, dict) or set(table) - {"epsilon", "delta", "unit"}:
        raise UsageError("is not a table of epsilon, delta and unit", where, "see the site's guide")
    if table.get("unit", "patient") != "patient":
        raise UsageError("a patient is the only unit", f"{where}.unit", 'write unit = "patient"')
    given = {"epsilon": epsilon, "delta": delta}
    values = table | {name: value for name, value in given.items() if value is not None}
    values.pop("unit", None)
    if not values:
        return None
    if "epsilon" not in values:
        raise UsageError("δ has no meaning without ε", "--delta", "give --epsilon too")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError("is not a number", f"{where}.{name}", "write one such as 8.0")
    return Budget(**{name: float(value) for name, value in values.items()})


def _toml(config: Path | None) -> dict[str, Any]:
    """The content of a file of settings, names spelled as in Python; nothing without a file."""
    if config is None:
        return {}
    try:
        content = tomllib.loads(read_plain(config, MAX_RECORD).decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot be read as TOML ({error})", config, "write lines such as outer-steps = 400"
        ) from error
    return {name.replace("-", "_"): value for name, value in content.items()}
