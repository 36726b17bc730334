"""Finding ``gdshare.toml`` and reading it: bounded, checked, and only if nobody else can write it.

It is the nearest one from the working directory upward, or the one that ``--config-file`` or its
variable names; an empty variable means none. Links are not followed: the paths in a file are
relative to where it lies, and a link would move them.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from gdshare.config.keys import KEYS, Value, checked_values, describe_fault, variable
from gdshare.config.owner import require_own
from gdshare.errors import GdshareError, UsageError
from gdshare.plain_files import TooLargeError, open_plain, read_bounded

NAME = "gdshare.toml"
CONFIG_VARIABLE = "GDSHARE_CONFIG_FILE"
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Config:
    """What a file gives.

    Attributes:
        path: the file; None where there is none.
        values: by key; paths as the working directory sees them.
        fault: why the file is not used; then there are no values.
    """

    path: Path | None
    values: Mapping[str, Value]
    fault: GdshareError | None = None

    def with_environment(self, environment: Mapping[str, str]) -> dict[str, Value]:
        """What need not be typed: the environment's values, and for the other keys the file's."""
        named = {name: environment.get(variable(name)) for name in KEYS}
        return {**self.values, **{name: value for name, value in named.items() if value}}

    @property
    def place(self) -> str:
        """The file, for people."""
        return str(self.path) if self.path else NAME


def read_config(environment: Mapping[str, str], folder: Path) -> Config:
    """Find and read the file that counts here.

    A file that cannot be used is no error yet: a command whose options are all typed needs none.

    Args:
        environment: may name the file.
        folder: the working directory.
    """
    path = find_config(environment, folder)
    if path is None:
        return Config(None, {})
    try:
        return Config(path, read_values(path))
    except GdshareError as error:
        return Config(path, {}, error)


def find_config(environment: Mapping[str, str], folder: Path) -> Path | None:
    """The file that counts: the named one, or the nearest."""
    named = environment.get(CONFIG_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    if os.path.lexists(folder / NAME):
        return folder / NAME  # a short path, where the folder is the working directory as "."
    above = (parent / NAME for parent in folder.absolute().parents)
    return next((path for path in above if os.path.lexists(path)), None)


def read_values(path: Path) -> dict[str, Value]:
    """Read a file's values, with paths put in relation to its folder.

    Raises:
        UsageError: missing, a link or no plain file, too large, somebody else's, not TOML, or a
            key or value that is not known; it names file, key and remedy.
    """
    table = _table(path)
    try:
        values = checked_values(table)
    except ValidationError as error:
        what, remedy = describe_fault(error)
        raise UsageError(what, path, remedy) from error
    return {name: _placed(name, value, path.parent) for name, value in values.items()}


def _table(path: Path) -> dict[str, object]:
    try:
        with open_plain(path, follow=False) as stream:
            require_own(os.fstat(stream.fileno()), path)
            content = read_bounded(stream, path, MAX_BYTES)
        return tomllib.loads(content.decode("utf-8"))
    except TooLargeError as error:
        raise UsageError("too large for settings", path, "is it another file?") from error
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", path, "check the path; links are not followed"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"not readable TOML ({error})", path, 'write lines such as  outbox = "outbox"'
        ) from error


def _placed(name: str, value: Value, folder: Path) -> Value:
    if not (KEYS[name].is_path and isinstance(value, str)):
        return value
    try:
        return str(folder / Path(value).expanduser())
    except RuntimeError:  # nobody's home is known
        return value
