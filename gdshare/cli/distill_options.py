"""A command-line option for every setting of a run, from the settings themselves."""

import inspect
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from gdshare.method import BY_NETWORK, Settings

YOURS, THE_METHODS = "What you set", "What the method fixes (docs/distill-options.md says why)"
SET_BY_YOU = (
    *("network", "train", "images", "outer_steps", "draws", "seed", "precision"),
    *("score_every", "score_inits", "score_patches", "checkpoint_every"),
)
UNSET = {"train": "all (scattering: head)", "seed": "random", "precision": "as fits the machine"}
"""Defaults in the help for settings that are decided when a run begins."""


def options_of_settings() -> list[inspect.Parameter]:
    """A command-line option for every setting with more than one value."""
    options = []
    ordered = {name: Settings.model_fields[name] for name in SET_BY_YOU} | Settings.model_fields
    for name, field in ordered.items():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            continue
        options.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[field.annotation | None, _option(name, field)],  # type: ignore[operator]
            )
        )
    return options


def _option(name: str, field: FieldInfo) -> Any:
    flag = f"--{name.replace('_', '-')}"
    panel = YOURS if name in SET_BY_YOU else THE_METHODS
    return typer.Option(
        flag,
        help=field.description,
        rich_help_panel=panel,
        show_default=_default_of(name, field),
    )


def _default_of(name: str, field: FieldInfo) -> str:
    if name in BY_NETWORK:
        return ", ".join(f"{value} with {key}" for key, value in BY_NETWORK[name].items())
    return UNSET.get(name, str(field.default))
