"""The note of what is measured in a folder, so that pieces of two benchmarks never mix."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import JsonValue

from gdshare.errors import RunError
from gdshare.storage import write_json

PLAN = "plan.json"


def open_plan(
    out: Path, plan: Mapping[str, JsonValue], tables: Mapping[str, str], option: str = "--out"
) -> None:
    """Note in the new folder ``out`` what is measured, or check that it is the same as before.

    Args:
        out: folder of the whole benchmark.
        plan: what is measured, as plain data.
        tables: of each source of data, the SHA-256 of what says which data it is.
        option: by which ``out`` was given.

    Raises:
        RunError: ``out`` holds pieces of another plan, of other data, or of another torch.
    """
    path = out / PLAN
    wanted: dict[str, JsonValue] = {
        "plan": dict(plan),
        "tables": dict(tables),
        "torch": torch.__version__,
    }
    out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_json(path, wanted)
    try:
        before = json.loads(path.read_bytes())
    except ValueError as error:
        raise RunError(f"{path}: cannot be read ({error}); choose another {option}") from error
    if before != wanted:
        raise RunError(
            f"{path}: measures something else ({_difference(before, wanted)}); choose another "
            f"{option}"
        )


def _difference(before: dict[str, JsonValue], wanted: dict[str, JsonValue]) -> str:
    """The first few things that differ, in words."""
    mine, theirs = _flat(wanted), _flat(before)
    changed = [
        f"{key} {theirs.get(key)} -> {mine.get(key)}"
        for key in sorted({*mine, *theirs})
        if mine.get(key) != theirs.get(key)
    ]
    return ", ".join(changed[:3])


def _flat(values: dict[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for key, value in values.items():
        found |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found
