"""Answers one question, in a process of its own: ``python -P -m hospital_node.answer``.

The node starts it, writes settings and question to its standard input, and reads the answer from
its standard output. A question from outside is opened here and nowhere else; whatever it does to
this process, the node outlives it.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from flwr.app import Context, RecordDict

from gdshare.logs import start_logging_from
from gdshare.messages import Reason
from hospital_node.client_app import app
from hospital_node.parcel import Parcel, packed, read_frames, refused, unpacked, write_frames

ORPHAN_POLL_S = 1.0

log = logging.getLogger("hospital_node")  # __name__ is "__main__" here


def answer(settings: Mapping[str, object], question: Parcel) -> Parcel:
    """Let the ClientApp answer; what goes wrong around it is one word, like all that goes wrong."""
    try:
        message = unpacked(question)
        context = Context(message.metadata.run_id, 0, dict(settings), RecordDict(), {})  # type: ignore[arg-type]
        return packed(app(message, context))
    except Exception as error:
        log.exception("the question could not be answered (%s: %s)", type(error).__name__, error)
        return refused(question.head, Reason.FAULT)


def main() -> None:
    """Read settings and question, write the answer."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing printed gets into the answer
    start_logging_from(os.environ)
    seconds = int(sys.argv[1])
    _limit(seconds)
    settings, *question = read_frames(sys.stdin.buffer)
    write_frames(answers, answer(json.loads(settings), Parcel.from_frames(question)).frames())


def _limit(seconds: int) -> None:
    """Bound the processor time, be the first to go when memory runs out, and end with the node."""
    with suppress(ImportError):  # Windows
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_POLL_S)
    os._exit(1)


if __name__ == "__main__":
    main()
