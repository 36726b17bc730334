"""A command line as a value, so that it can be shortened by what ``gdshare.toml`` gives.

::

    release = Command("release", (Word("prepared", key="prepared"), ...))
    spell(release)                              # gdshare release prepared ...
    spell(release, {"prepared": "prepared"})    # gdshare release
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from gdshare.config import Value


@dataclass(frozen=True)
class Word:
    """An argument, or an option with its value.

    Attributes:
        value: what to type; None: nobody here knows it, and ``stand_in`` takes its place.
        stand_in: such as ``SITE.key``.
        option: such as ``--key``; empty for an argument.
        key: of ``gdshare.toml`` that gives it; empty: none does.
    """

    value: str | Path | None = None
    stand_in: str = ""
    option: str = ""
    key: str = ""

    def is_given(self, values: Mapping[str, Value]) -> bool:
        """Whether it need not be typed; ``values`` are what the file and the environment give."""
        if self.key not in values:
            return False
        return self.value is None or str(values[self.key]) == str(self.value)

    @property
    def text(self) -> str:
        """What is typed."""
        typed = self.stand_in if self.value is None else quote(str(self.value))
        return " ".join(part for part in (self.option, typed) if part)


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        name: the command with its group, such as ``policy new``.
        words: its arguments and options, in the order in which they are typed.
    """

    name: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Step:
    """Something that waits.

    Attributes:
        what: in words.
        command: the command for it; None where no command can do it.
    """

    what: str
    command: Command | None = None


def spell(command: Command, values: Mapping[str, Value] | None = None) -> str:
    """Write a command line for the shell, without what is given anyway.

    Args:
        command: the command.
        values: by key of ``gdshare.toml``, what need not be typed.
    """
    typed: list[str] = []
    can_go = True  # an argument can be left out only if all that follow are
    for word in reversed(command.words):
        is_argument = not word.option
        if word.is_given(values or {}) and (can_go or not is_argument):
            continue
        typed.append(word.text)
        can_go = can_go and not is_argument
    return " ".join(("gdshare", command.name, *reversed(typed)))
