"""``query.progress``: what a hospital is computing for the aggregator that asks."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

from gdshare.messages.words import Fields, RequestError, Value, integer_in, text_in

Doing = Literal["idle", "fetching", "training", "counting"]

MAX_DONE: Final = 2**40
"""Bytes, of a question while it is fetched."""
MAX_WAITING: Final = 1000
MAX_SECONDS: Final = 10 * 366 * 24 * 3600
MESSAGE_ID: Final = re.compile(r"[0-9A-Za-z_-]{0,128}", re.ASCII)


@dataclass(frozen=True)
class Progress:
    """The answer to ``query.progress``.

    Attributes:
        doing: what is being done; ``idle``: nothing.
        done, of: how far: films while counting, networks while training, bytes while fetching.
            ``of`` is 0 while it is not known; ``done`` is never more than it otherwise. Films are
            reported in tens, and ``of`` has only those whose number the counts themselves tell.
        question: id of the message that is being answered; "" if idle.
        waiting: questions in the queue behind it.
        seconds: since the node began with the question, or since it has been idle.
    """

    doing: Doing = "idle"
    done: int = 0
    of: int = 0
    question: str = ""
    waiting: int = 0
    seconds: int = 0

    def to_fields(self) -> dict[str, Value]:
        """The fields to send."""
        return {
            "doing": self.doing,
            "done": self.done,
            "of": self.of,
            "question": self.question,
            "waiting": self.waiting,
            "seconds": self.seconds,
        }

    @classmethod
    def from_fields(cls, received: Fields) -> Self:
        """Read an answer from a stranger.

        Raises:
            RequestError: a field missing, unknown, of another type or out of range.
        """
        if set(received) != set(cls.__dataclass_fields__):
            raise RequestError(
                "the progress has other fields than agreed", remedy="use the same gdshare"
            )
        done, of = (integer_in(received, name, MAX_DONE) for name in ("done", "of"))
        if of and done > of:
            raise RequestError("more is done than there is", remedy="use the same gdshare")
        question = text_in(received, "question")
        if not MESSAGE_ID.fullmatch(question):
            raise RequestError("the question is no id of a message", remedy="use the same gdshare")
        return cls(
            _doing(text_in(received, "doing")),
            done,
            of,
            question,
            integer_in(received, "waiting", MAX_WAITING),
            integer_in(received, "seconds", MAX_SECONDS),
        )


def _doing(word: str) -> Doing:
    for doing in get_args(Doing):
        if doing == word:
            return doing  # type: ignore[no-any-return]
    raise RequestError("no word for what is being done", remedy="use the same gdshare")
