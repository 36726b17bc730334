"""A node goes on: processes stopped and killed, a SuperLink that is away, or hostile."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fleet_kit import Fleet, Plain, fleet_server, question
from flwr.proto.message_pb2 import PullObjectResponse
from node_kit import answering, is_gone, kill, lines, node_process, run_node, until
from process_kit import environment
from site_kit import PROTOCOL, make_bundle, manifest, write_files

from gdshare.lock import lock, lock_beside
from gdshare.messages import CountRequest, Progress, Reason, Recipe
from gdshare.signing import new_key, public_pem
from hospital_node import apart, desk
from hospital_node.activity import Activity
from hospital_node.apart import answer_apart
from hospital_node.count_record import FILE, read_counts
from hospital_node.settings import NodeSettings

KEY = new_key()


@pytest.fixture(autouse=True)
def same_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answering process imports what the tests import."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])


@pytest.fixture(scope="module")
def bundle() -> dict[str, bytes]:
    """Valid now: the node's process has a clock of its own."""
    created = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    return make_bundle("north", KEY, manifest("north", created))


@pytest.fixture
def values(tmp_path: Path, cohort: Path, bundle: dict[str, bytes]) -> dict[str, object]:
    write_files(tmp_path / "outbox" / "north-1", bundle)
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "north.pub").write_bytes(public_pem(KEY.public_key()))
    (tmp_path / "state").mkdir()
    return {
        "outbox": tmp_path / "outbox",
        "state": tmp_path / "state",
        "cohort": cohort,
        "trust": tmp_path / "peers",
        "minimum-films": 4,
        "suppress-below": 1,
    }


@pytest.fixture
def settings(values: dict[str, object]) -> NodeSettings:
    return NodeSettings.from_mapping(values)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with fleet_server(Fleet()) as running:
        yield running


def count_question(bundle: dict[str, bytes], epsilon: float | None = None):
    recipe = Recipe("average", 7, 1, [bundle])
    fields = CountRequest("convnet", PROTOCOL, recipe, epsilon).to_fields()
    return question("evaluate.counts", **fields)


def counted(answer: dict[str, object]) -> bool:
    return "tp" in answer


def script(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Answer with a program of the test's in place of the node's."""
    monkeypatch.setattr(apart, "COMMAND", (sys.executable, "-c", text))


# What the node is doing.


def slow(monkeypatch: pytest.MonkeyPatch, report: object, seconds: float) -> None:
    frame = b"P" + json.dumps(report).encode()
    script(
        monkeypatch,
        "import struct, sys, time\n"
        f"frame = {frame!r}\n"
        "sys.stdout.buffer.write(struct.pack('>Q', len(frame)) + frame)\n"
        "sys.stdout.buffer.flush()\n"
        f"time.sleep({seconds})\n",
    )


def test_progress_is_told_while_a_question_is_answered(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, ["counting", 20, 23], 5)
    asked = [question(), question()]
    fleet.waiting.extend(asked)
    seen: list[Progress] = []

    def over() -> bool:
        for answer in fleet.answers:
            if "doing" in answer:
                seen.append(Progress.from_fields(answer))
        fleet.answers.clear()
        if not any(progress.doing == "counting" for progress in seen):
            fleet.waiting.append(question("query.progress"))
            return False
        return True

    run_node(fleet, settings, over)
    progress = next(progress for progress in seen if progress.doing == "counting")
    assert (progress.done, progress.of, progress.waiting) == (20, 23, 1)
    assert progress.question == asked[0].head.metadata.message_id


def test_an_idle_node_says_so_without_a_process(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, "raise SystemExit(1)")
    fleet.waiting.append(question("query.progress"))
    run_node(fleet, settings, lambda: len(fleet.answers) == 1)
    assert Progress.from_fields(fleet.answers[0]).doing == "idle"
    assert "pull-object" not in fleet.calls, "there is nothing in it to read"
    assert not (settings.state / "work.json").exists()


def test_progress_is_told_to_gdshares_own_app_alone(fleet: Fleet, settings: NodeSettings) -> None:
    fleet.fab_hash = "0" * 64
    fleet.waiting.append(question("query.progress"))
    run_node(fleet, settings, lambda: len(fleet.answers) == 1)
    assert fleet.answers == [{"refused": "other-app"}]


@pytest.mark.parametrize(
    "report", [["counting", "x", 3], ["sleeping", 1, 2], [1], {}, None, ["counting", 5, 10**40]]
)
def test_what_a_process_reports_is_read_as_a_strangers(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch, report: object
) -> None:
    slow(monkeypatch, report, 0)
    seen = []
    answer_apart(question(), settings, 30, lambda *words: seen.append(words))
    assert len(seen) <= 1
    activity = Activity()
    activity.begin("a")
    for words in seen:
        activity.report(*words)
    Progress.from_fields(activity.progress(0).to_fields())


# Limits.


def test_a_full_queue_is_busy(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, ["training", 0, 1], 20)
    fleet.waiting.extend(question() for _ in range(desk.MAX_WAITING + 3))
    run_node(fleet, settings, lambda: len(fleet.answers) >= 2)
    assert fleet.answers == [{"refused": Reason.BUSY}] * 2


def test_an_answer_beyond_its_bound_is_one_word(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(
        monkeypatch,
        "import struct, sys\n"
        "sys.stdout.buffer.write(struct.pack('>Q', 200 << 20))\n"
        "for _ in range(200): sys.stdout.buffer.write(bytes(1 << 20))\n",
    )
    outcome = answer_apart(question(), settings, 30)
    assert outcome.answer is None
    assert outcome.seconds < 25, "nobody waits for the rest"


def test_a_question_of_330_mb_is_not_taken(fleet: Fleet, settings: NodeSettings) -> None:
    part = bytes(110 << 20)
    fleet.scripted["pull-object"] = lambda _: PullObjectResponse(
        object_found=True, object_available=True, object_content=part
    ).SerializeToString()
    fleet.waiting.append(question())
    run_node(fleet, settings, lambda: len(fleet.answers) == 1)
    assert fleet.answers == [{"refused": "question-too-large"}]


def test_memory_beyond_its_limit_is_one_word_and_the_node_goes_on(
    fleet: Fleet, settings: NodeSettings
) -> None:
    small = settings.model_copy(update={"memory_mib": 40})
    fleet.waiting.append(question())
    run_node(fleet, small, lambda: len(fleet.answers) == 1)
    assert fleet.answers == [{"refused": "fault"}]


def test_a_gpu_has_no_limit_of_memory_unless_somebody_sets_one(settings: NodeSettings) -> None:
    assert settings.memory_limit_mib == 8192
    cuda = settings.model_copy(update={"device": "cuda"})
    assert cuda.memory_limit_mib == 0
    assert cuda.model_copy(update={"memory_mib": 500}).memory_limit_mib == 500


def test_a_stopped_process_that_keeps_the_record_locked_is_ended_at_its_limit(
    fleet: Fleet,
    settings: NodeSettings,
    bundle: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next question is answered."""
    path = lock_beside(settings.state / FILE)
    with monkeypatch.context() as patch:
        script(
            patch,
            "import os, signal\n"
            "from pathlib import Path\n"
            "from gdshare.lock import lock\n"
            f"with lock(Path({str(path)!r})):\n"
            "    os.kill(os.getpid(), signal.SIGSTOP)\n",
        )
        first = count_question(bundle)
        first.head.metadata.created_at, first.head.metadata.ttl = time.time(), 5.0
        fleet.waiting.append(first)
        run_node(fleet, settings, lambda: fleet.answers)
    assert fleet.answers == [{"refused": "time-limit"}]
    assert "process" in path.read_text(), "it had the record locked"
    fleet.waiting.append(count_question(bundle))
    run_node(fleet, settings, lambda: len(fleet.answers) == 2)
    assert counted(fleet.answers[1])
    assert len(read_counts(settings.state).entries) == 1


def test_a_stopped_process_ends_with_its_node(
    fleet: Fleet, values: dict[str, object], bundle: dict[str, bytes], tmp_path: Path
) -> None:
    """It keeps the record locked no longer, and the next node answers the question."""
    state = Path(str(values["state"]))
    with lock(lock_beside(state / FILE)):
        fleet.waiting.append(count_question(bundle))
        with node_process(values, fleet.address, folder=tmp_path) as node:
            until(lambda: "counting film" in " ".join(lines(tmp_path)))
            [stopped] = answering(node.pid)
            os.kill(stopped, signal.SIGSTOP)
            kill(node.pid)
            node.wait()
            until(lambda: is_gone(stopped), 5)
    fleet.waiting.append(count_question(bundle))
    with node_process(values, fleet.address, folder=tmp_path):
        until(lambda: fleet.answers)
    assert counted(fleet.answers[0])


def test_an_answering_process_that_is_killed_is_one_word_and_nothing_is_counted_twice(
    fleet: Fleet, values: dict[str, object], bundle: dict[str, bytes], tmp_path: Path
) -> None:
    state = Path(str(values["state"]))
    with node_process(values, fleet.address, folder=tmp_path) as node:
        with lock(lock_beside(state / FILE)):
            fleet.waiting.append(count_question(bundle))
            until(lambda: "counting film" in " ".join(lines(tmp_path)))
            kill(*answering(node.pid))
            until(lambda: fleet.answers)
        assert fleet.answers == [{"refused": "fault"}]
        fleet.waiting.extend([count_question(bundle), count_question(bundle)])
        until(lambda: len(fleet.answers) == 3)
        assert counted(fleet.answers[1])
        assert fleet.answers[1] == fleet.answers[2]
        assert len(read_counts(state).entries) == 1
        assert node.poll() is None


def test_a_node_that_was_stopped_goes_on(
    fleet: Fleet, values: dict[str, object], tmp_path: Path
) -> None:
    with node_process(values, fleet.address, folder=tmp_path) as node:
        until(lambda: "pull-messages" in fleet.calls)
        os.kill(node.pid, signal.SIGSTOP)
        faults = [Plain(401)]  # it was dropped meanwhile
        fleet.scripted["pull-messages"] = lambda body: (
            faults.pop() if faults else fleet._pull_messages(body)
        )
        fleet.waiting.append(question())
        os.kill(node.pid, signal.SIGCONT)
        until(lambda: fleet.answers)
    assert fleet.calls.count("activate-node") == 2


def test_the_log_says_when_who_what_and_how_many_films(
    fleet: Fleet, values: dict[str, object], bundle: dict[str, bytes], tmp_path: Path
) -> None:
    fleet.waiting.extend([question(), count_question(bundle)])
    file = tmp_path / "both.log"
    with node_process(values, fleet.address, "--log-file", str(file), folder=tmp_path) as node:
        until(lambda: len(fleet.answers) == 2)
        node.send_signal(signal.SIGTERM)
        node.wait(30)
    text = (tmp_path / "node.log").read_text()
    today = f"{datetime.now(UTC):%Y-%m-}"
    assert all(line.startswith(today) for line in text.splitlines())
    assert "Z INFO hospital_node.counting: north: counted 4 val films" in file.read_text()
    said = " ".join(lines(tmp_path))
    assert "asked for evaluate.counts by run 1" in said
    assert "north: handed over north-1 (" in said
    assert "north: counting film 4 of 4 for model " in said
    assert "north: counted 4 val films for model " in said
    assert "answered evaluate.counts after " in said


# A SuperLink that is away.


def test_an_answer_is_sent_when_the_superlink_is_back(fleet: Fleet, settings: NodeSettings) -> None:
    sound = fleet._push_messages
    faults = [Plain(502), Plain(500), Plain(401), Plain(503)]
    fleet.scripted["push-messages"] = lambda body: faults.pop(0) if faults else sound(body)
    fleet.waiting.append(question())
    run_node(fleet, settings, lambda: len(fleet.answers) == 1)
    assert "distilled.safetensors" in fleet.answers[0]
    assert fleet.calls.count("push-messages") == 5


def test_a_question_is_fetched_when_the_superlink_is_back(
    fleet: Fleet, settings: NodeSettings
) -> None:
    sound = fleet._pull_object
    faults = [Plain(502), Plain(500)]
    fleet.scripted["pull-object"] = lambda body: faults.pop(0) if faults else sound(body)
    fleet.waiting.append(question())
    run_node(fleet, settings, lambda: len(fleet.answers) == 1)
    assert "distilled.safetensors" in fleet.answers[0]


def test_an_answer_that_a_proxy_finds_too_large_is_dropped_and_said_so(
    fleet: Fleet, settings: NodeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.scripted["push-object"] = lambda _: Plain(413)
    fleet.waiting.append(question())
    run_node(fleet, settings, lambda: "takes no answer as large as this one" in caplog.text)
    del fleet.scripted["push-object"]
    fleet.waiting.append(question())
    run_node(fleet, settings, lambda: len(fleet.answers) == 1)


def test_a_clock_that_is_ahead_is_said_once_and_the_node_comes_back_when_it_is_set(
    fleet: Fleet, values: dict[str, object], tmp_path: Path
) -> None:
    def late(_: bytes) -> Plain:
        theirs = datetime.now(UTC) - timedelta(seconds=6)
        return Plain(401, {"date": format_datetime(theirs, usegmt=True)})

    fleet.scripted["activate-node"] = late
    with node_process(values, fleet.address, folder=tmp_path) as node:
        until(lambda: fleet.calls.count("activate-node") >= 3)
        assert node.poll() is None
        [sentence] = [line for line in lines(tmp_path) if "clock" in line]
        assert "this machine's clock is 6 s ahead of" in sentence or " 7 s ahead of" in sentence
        del fleet.scripted["activate-node"]
        until(lambda: "pull-messages" in fleet.calls)
        until(lambda: any(line.startswith("connected again after") for line in lines(tmp_path)))


# A SuperLink that is hostile.


def hostile_answers(seed: int) -> Callable[[bytes], bytes | Plain]:
    draw = random.Random(seed)

    def answer(body: bytes) -> bytes | Plain:
        kind = draw.randrange(6)
        if kind == 0:
            return draw.randbytes(draw.randrange(300))
        if kind == 1:
            return Plain(draw.choice([204, 301, 400, 401, 403, 404, 409, 412, 418, 429, 500, 599]))
        if kind == 2:
            code = draw.choice([draw.randrange(4000), -1, "x", None, [], 2**70])
            return Plain(412, body=json.dumps({"code": code, "detail": "no"}).encode())
        if kind == 3:
            return Plain(401, {"date": draw.choice(["", "x", "Mon, 99 Foo 9999 99:99:99 GMT"])})
        if kind == 4:
            return bytes(draw.randrange(2 << 20))
        return body[: draw.randrange(len(body) + 1)] + draw.randbytes(5)

    return answer


@pytest.mark.parametrize(
    "route",
    [
        "register-node",
        "activate-node",
        "pull-messages",
        "get-run",
        "pull-object",
        "confirm-message-received",
        "push-messages",
        "push-object",
    ],
)
def test_no_answer_of_a_superlink_ends_the_node(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    """Forty of them on each route; then it answers soundly, and so does the node."""
    monkeypatch.setattr("hospital_node.outage.FIRST_DELAY_S", 0.001)
    monkeypatch.setattr("hospital_node.outage.LONGEST_DELAY_S", 0.01)
    script(monkeypatch, "raise SystemExit(3)")
    answer = hostile_answers(len(route))
    fleet.scripted[route] = answer

    def over() -> bool:
        if fleet.calls.count(route) >= 40:
            return True
        if len(fleet.waiting) < 3:
            fleet.waiting.append(question())
            fleet.waiting.append(question("query.progress"))
        return False

    run_node(fleet, settings, over)
    del fleet.scripted[route]
    fleet.waiting[:] = [question("query.progress")]
    fleet.answers.clear()
    run_node(fleet, settings, lambda: any("doing" in answer for answer in fleet.answers))
