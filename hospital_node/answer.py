"""Answers one question, in a process of its own: ``python -P -m hospital_node.answer``.

The node starts it, writes settings and question to its standard input, and reads from its standard
output how far it is, and the answer. A question from outside is opened here and nowhere else;
whatever it does to this process, the node outlives it.
"""

import ctypes
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from flwr.app import Context, RecordDict

from gdshare.logs import start_logging_from
from gdshare.messages import Doing, Reason
from hospital_node.apart import ANSWER, PROGRESS
from hospital_node.client_app import app, reporting
from hospital_node.parcel import Parcel, packed, read_frames, refused, unpacked, write_frames

ORPHAN_POLL_S = 1.0
PR_SET_PDEATHSIG: Final = 1
MIB: Final = 1 << 20

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
    start_logging_from(os.environ, dated=True)
    seconds, memory_mib, parent = (int(word) for word in sys.argv[1:4])
    _end_with(parent)
    _limit(seconds, memory_mib)
    settings, *question = read_frames(sys.stdin.buffer)

    def report(doing: Doing, done: int, of: int) -> None:
        write_frames(answers, [PROGRESS + json.dumps([doing, done, of]).encode()])

    with reporting(report):
        answered = answer(json.loads(settings), Parcel.from_frames(question))
    write_frames(answers, [ANSWER + frame for frame in answered.frames()])
    logging.shutdown()
    os._exit(0)  # torch takes its time to leave, and the answer is sent when this process has ended


def _limit(seconds: int, memory_mib: int) -> None:
    """Bound processor time and memory, and be the first to go when the machine's runs out."""
    with suppress(ImportError):  # Windows
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory_mib:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_mib * MIB, memory_mib * MIB))
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _end_with(parent: int) -> None:
    """End when the node ends, even if somebody stopped this process, which locks a record maybe."""
    with suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_POLL_S)
    os._exit(1)


if __name__ == "__main__":
    main()
