"""What waits at an aggregator: files that hospitals sent, quarantine, withdrawals and rounds."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare

from aggregator.flower.folder import LOCK
from aggregator.trust.bundle_history import (
    ACCEPT,
    ADMIT,
    QUARANTINE,
    TRAIN,
    signed_with,
    trained_from,
)
from aggregator.trust.waiting import AggregatorState, aggregator_steps, next_steps
from gdshare.bundle.attestation import Withdrawal
from gdshare.ledger import open_ledger
from gdshare.lock import lock
from gdshare.next_steps import spell
from gdshare.release.publish import WITHDRAW
from gdshare.signing import load_private_key
from gdshare.trust.keys import ledger_beside

NOW = datetime(2026, 3, 31, 11, tzinfo=UTC)
DIGEST, OTHER = "a" * 64, "b" * 64
ROUND = "gdshare aggregate --superlink HOST:PORT --trust trust --out ROUND"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def request_file(here):
    """A hospital's request, as it arrived; returns the fingerprint."""
    made = gdshare("keys", "new", "--name", "st-mary", "--json", check=True)
    gdshare("keys", "request", "keys/st-mary.key", "--site", "st-mary", check=True)
    shutil.move("keys/st-mary.request", "st-mary.request")
    return json.loads(made.out)["fingerprint"]


def told(now=NOW):
    return [
        (step.what, step.command and spell(step.command)) for step in next_steps(Path("trust"), now)
    ]


def record(*entries):
    with open_ledger(ledger_beside(Path("trust"))) as ledger:
        for act, what, digest, why in entries:
            ledger.write(NOW, act, "operator", what, digest, why)


def test_request_waits_until_its_fingerprint_was_typed_then_a_round_can_be_held(request_file):
    [(what, command)] = told()
    assert what.startswith("st-mary.request asks for trust: call the hospital")
    assert command == "gdshare trust add st-mary.request --fingerprint FINGERPRINT --trust trust"
    words = ("st-mary.request", "--fingerprint", request_file[:16], "--trust", "trust")
    shown = gdshare("trust", "add", *words, check=True).out
    assert shown.endswith(f"{ROUND}\n")
    assert told() == [("no round was held with the 1 keys of trust", ROUND)]


def test_altered_request_is_told_and_hides_nothing_else(here, request_file):
    altered = Path("st-mary.request").read_bytes().replace(b"a", b"b")
    Path("forged.request").write_bytes(altered)
    (fault, command), (what, _) = told()
    assert fault.startswith("forged.request")
    assert command is None
    assert what.startswith("st-mary.request asks for trust")


def test_key_that_ends_soon_is_told(request_file):
    words = ("st-mary.request", "--fingerprint", request_file, "--trust", "trust")
    gdshare("trust", "add", *words, "--days", 60, check=True)
    later = datetime.now(UTC) + timedelta(days=45)
    assert any(what.startswith("the last key of st-mary ends") for what, _ in told(later))
    assert len(told(datetime.now(UTC))) == 1


def test_quarantined_bundle_waits_until_it_is_accepted_withdrawn_or_superseded(here):
    why = signed_with("c" * 64)
    record((QUARANTINE, "st-mary-3", DIGEST, why))
    accept = f"gdshare trust accept {DIGEST} --why WHAT-THEY-SAID --trust trust"
    assert accept in [command for _, command in told()]
    ledger = ledger_beside(Path("trust"))
    kept = {path: path.read_bytes() for path in here.glob(f"{ledger.name}*")}
    for entry in (
        (ACCEPT, "st-mary-3", DIGEST, "they called"),
        (WITHDRAW, "st-mary-3", DIGEST, why),
        (ADMIT, "st-mary-4", OTHER, why),
    ):
        record(entry)
        assert accept not in [command for _, command in told()], entry
        for path, content in kept.items():
            path.write_bytes(content)


def test_model_trained_with_a_withdrawn_bundle_waits_as_long_as_it_is_there(here):
    why = signed_with("c" * 64)
    model = here / "round-1" / "model"
    model.mkdir(parents=True)
    record(
        (ADMIT, "st-mary-1", DIGEST, why),
        (TRAIN, str(model), OTHER, trained_from("st-mary-1", DIGEST)),
        (WITHDRAW, "st-mary-1", DIGEST, why),
    )
    what, command = told()[0]
    assert what.startswith(f"{model} was trained with st-mary-1, which its hospital withdrew")
    assert command == "gdshare trust withdrawn --trust trust"
    model.rmdir()
    assert not any("withdrew" in what for what, _ in told())


def test_rounds_without_a_result_are_told(here):
    for name, files in {
        "round-1": ("order.json", "round.json"),
        "round-2": ("order.json", "failure.txt"),
        "round-3": ("order.json",),
        "other": ("notes.txt",),
    }.items():
        (here / name).mkdir()
        for file in files:
            (here / name / file).write_text("", encoding="utf-8")
    (here / "round-4").mkdir()
    (here / "round-4" / "order.json").touch()
    with lock(here / "round-4" / LOCK):
        shown = [what for what, _ in told()]
    assert "the round in round-4 is running" in shown
    assert "the round in round-2 stopped: see round-2/failure.txt" in shown
    assert "the round in round-3 has no result, and nobody is at work on it" in shown
    assert not any("round-1" in what or "other" in what for what in shown)


def test_steps_are_a_function_of_the_state():
    state = AggregatorState(Path("trust"), keys=2, rounds={Path("round-1"): "finished"})
    assert aggregator_steps(state) == ()


def test_withdrawal_that_came_by_mail_waits_until_it_is_recorded(here, request_file):
    words = ("st-mary.request", "--fingerprint", request_file, "--trust", "trust")
    gdshare("trust", "add", *words, check=True)
    key = load_private_key(Path("keys/st-mary.key"), PASSPHRASE.encode())
    content = Withdrawal(site="st-mary", sequence=3, at=NOW, reason="").signed(DIGEST, key)
    Path("st-mary-3.withdrawal").write_bytes(content)
    what, command = told()[0]
    assert what == "st-mary-3.withdrawal is not recorded"
    assert command == "gdshare trust withdrawn st-mary-3.withdrawal --trust trust"
    gdshare("trust", "withdrawn", "st-mary-3.withdrawal", "--trust", "trust", check=True)
    assert not any("not recorded" in what for what, _ in told())
