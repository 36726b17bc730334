"""What of a JSON Schema may not change once a format is frozen: all but its prose and defaults."""

from typing import Any

PROSE = {"title", "description", "default"}


def shape_of(schema: Any, named: bool = False) -> Any:
    """Leave out prose; ``named`` says that the keys of this object are names of fields."""
    if isinstance(schema, dict):
        return {
            key: shape_of(value, named=key in ("properties", "$defs") and not named)
            for key, value in schema.items()
            if named or key not in PROSE
        }
    return [shape_of(one) for one in schema] if isinstance(schema, list) else schema
