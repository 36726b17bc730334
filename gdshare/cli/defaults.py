"""Options that are not typed: taken from the environment, or else from ``gdshare.toml``.

An option or argument takes a key of the file by naming the key's environment variable
(``gdshare.config.variable``). click itself then looks at the command line, the variable, the file
and the built-in default, in this order. Added here: a line that says what was taken from where, and
the refusal of a file that cannot be used, by those commands only that would take something from it.
"""

import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from gdshare.config import KEYS, Config
from gdshare.config.keys import KEY_OF_VARIABLE

log = logging.getLogger(__name__)


def key_of(parameter: click.Parameter | None) -> str | None:
    """The key of ``gdshare.toml`` that an option or argument takes; None: it takes none."""
    named = getattr(parameter, "envvar", None)
    return KEY_OF_VARIABLE.get(named) if isinstance(named, str) else None


def with_defaults(command: click.Command, config: Config) -> dict[str, Any]:
    """Prepare a command, or all commands of a group, and return click's ``default_map`` for it."""
    if isinstance(command, click.Group):
        return {name: with_defaults(part, config) for name, part in command.commands.items()}
    keys = {
        str(parameter.name): key
        for parameter in command.params
        if (key := key_of(parameter)) is not None
    }
    if keys and command.callback is not None:
        command.callback = _announced(command.callback, keys, config)
    for parameter in command.params:
        if (key := key_of(parameter)) in config.values:
            parameter.required = False
            parameter.show_default = f"{config.values[key]}, from {config.place}"  # type: ignore[attr-defined, index]
    return {name: config.values[key] for name, key in keys.items() if key in config.values}


def _announced(
    callback: Callable[..., Any], keys: Mapping[str, str], config: Config
) -> Callable[..., Any]:
    """The command, after a line that says what was not typed and where it came from."""

    @functools.wraps(callback)
    def announced(*arguments: Any, **options: Any) -> Any:
        context = click.get_current_context()
        sources = {name: context.get_parameter_source(name) for name in keys}
        if config.fault is not None and ParameterSource.DEFAULT in sources.values():
            raise config.fault
        taken = {
            f"from {config.place}": ParameterSource.DEFAULT_MAP,
            "from the environment": ParameterSource.ENVIRONMENT,
        }
        for place, source in taken.items():
            names = [name for name in keys if sources[name] is source]
            if names and os.environ.get("RANK", "0") == "0":  # of a run's processes, one speaks
                values = ", ".join(f"{keys[name]} {context.params[name]}" for name in names)
                log.info("%s: %s", place, values)
        return callback(*arguments, **options)

    return announced


def typed(name: str) -> bool:
    """Whether a parameter of the running command was typed, and not taken from elsewhere."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def remedy_for(error: click.ClickException, config: Config) -> str:
    """How to do without typing an option that is missing; empty if there is no such way.

    Raises:
        GdshareError: there is a file, which may have given it, and it cannot be used.
    """
    key = key_of(getattr(error, "param", None))
    if key is None or not isinstance(error, click.MissingParameter):
        return ""
    if config.fault is not None:
        raise config.fault
    return f"give it, or write  {key} = {KEYS[key].example}  into {config.place}"
