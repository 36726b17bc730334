"""What waits at an aggregator, for ``gdshare next``: keys, withdrawals, quarantine and rounds.

``AggregatorState`` is read from the trust folder, its ledger and what lies beside them: the files
that hospitals sent, and the folders of rounds. ``aggregator_steps`` is a pure function of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from aggregator.flower.folder import FAILURE, ORDER, RESULT
from aggregator.flower.submit import is_running
from aggregator.trust.bundle_history import (
    accepted_digests,
    models_trained_with,
    newest_bundles,
    quarantined_digests,
    withdrawn_bundles,
)
from aggregator.trust.withdrawals import verify_withdrawal
from gdshare.bundle.attestation import MAX_BYTES
from gdshare.bundle.folder import read_plain
from gdshare.bundle.outbox import WITHDRAWAL
from gdshare.ledger import Entry, read_ledger
from gdshare.next_steps import Command, Step, Word
from gdshare.next_steps.part_reader import PartReader
from gdshare.signing import fingerprint, read_key_file, read_request
from gdshare.trust.key_history import expiring_sites
from gdshare.trust.keys import Trust, ledger_beside, read_trust

REQUEST = ".request"
Ended = Literal["finished", "failed", "unfinished", "running"]


@dataclass(frozen=True)
class AggregatorState:
    """What lies at an aggregator.

    Attributes:
        trust: the folder of keys.
        keys: how many are in it.
        expiring: hospitals whose last key ends soon or has ended -> when.
        requests: files of keys that are not on the list.
        withdrawals: files of withdrawals that the ledger does not have.
        quarantined: bundles that wait for a talk with their hospital: name -> digest.
        to_retrain: (model's folder, withdrawn bundle it was trained with), where it is still there.
        rounds: folder -> how the round in it ended.
        faults: what could not be read, and why.
    """

    trust: Path
    keys: int = 0
    expiring: Mapping[str, datetime] | None = None
    requests: tuple[Path, ...] = ()
    withdrawals: tuple[Path, ...] = ()
    quarantined: Mapping[str, str] | None = None
    to_retrain: tuple[tuple[str, str], ...] = ()
    rounds: Mapping[Path, Ended] | None = None
    faults: tuple[str, ...] = ()


def next_steps(trust: Path, now: datetime) -> tuple[Step, ...]:
    """What waits at the aggregator that has this trust folder."""
    return aggregator_steps(read_aggregator(trust, now))


def aggregator_steps(state: AggregatorState) -> tuple[Step, ...]:
    """What waits; withdrawals first, since models may have to be dropped."""
    return (
        *(Step(fault) for fault in state.faults),
        *_withdrawals(state),
        *_keys(state),
        *_quarantined(state),
        *_rounds(state),
    )


def read_aggregator(trust: Path, now: datetime) -> AggregatorState:
    """Read the trust folder, the ledger and what lies beside them; nothing is written.

    Args:
        trust: the folder of keys.
        now: UTC.
    """
    reader, beside = PartReader(), trust.parent
    entries = reader.part(lambda: read_ledger(ledger_beside(trust)), list[Entry]())
    keys = reader.part(lambda: read_trust(trust), Trust(()))

    def waiting(ending: str, is_new: Callable[[Path], bool]) -> tuple[Path, ...]:
        paths = sorted(beside.glob(f"*{ending}"))
        return tuple(path for path in paths if reader.part(partial(is_new, path), False))

    return AggregatorState(
        trust=trust,
        keys=len(keys.keys),
        expiring=reader.part(
            lambda: expiring_sites(keys.keys, entries, now), dict[str, datetime]()
        ),
        requests=waiting(REQUEST, partial(_is_new_key, keys)),
        withdrawals=waiting(WITHDRAWAL, partial(_is_new_withdrawal, keys, entries)),
        quarantined=_in_quarantine(entries),
        to_retrain=_to_retrain(entries),
        rounds={path.parent: _ended(path.parent) for path in sorted(beside.glob(f"*/{ORDER}"))},
        faults=tuple(reader.faults),
    )


def _is_new_key(trust: Trust, path: Path) -> bool:
    request = read_request(read_key_file(path), str(path))
    return trust.find(fingerprint(request.key)) is None


def _is_new_withdrawal(trust: Trust, entries: Sequence[Entry], path: Path) -> bool:
    withdrawal = verify_withdrawal(read_plain(path, MAX_BYTES), trust, entries)
    return (withdrawal.name, withdrawal.digest) not in withdrawn_bundles(entries)


def _to_retrain(entries: Sequence[Entry]) -> tuple[tuple[str, str], ...]:
    """Models that are still where they were made: (folder, withdrawn bundle)."""
    return tuple(
        (model.what, name)
        for name, digest in withdrawn_bundles(entries)
        for model in models_trained_with(entries, name, digest)
        if Path(model.what).exists()
    )


def _in_quarantine(entries: Sequence[Entry]) -> dict[str, str]:
    """The newest quarantined bundle of each hospital, unless accepted, withdrawn or superseded."""
    accepted, withdrawn = accepted_digests(entries), withdrawn_bundles(entries)
    newest = newest_bundles(entries)
    by_site: dict[str, tuple[str, str]] = {}
    for digest, entry in quarantined_digests(entries).items():
        site, _, number = entry.what.rpartition("-")
        is_old = site in newest and newest[site].sequence >= int(number)
        if digest not in accepted and (entry.what, digest) not in withdrawn and not is_old:
            by_site[site] = (entry.what, digest)
    return dict(by_site.values())


def _ended(folder: Path) -> Ended:
    if (folder / RESULT).exists():
        return "finished"
    if is_running(folder):
        return "running"
    return "failed" if (folder / FAILURE).exists() else "unfinished"


def _withdrawals(state: AggregatorState) -> Iterator[Step]:
    for path in state.withdrawals:
        command = Command("trust withdrawn", (Word(path), _trust(state.trust)))
        yield Step(f"{path.name} is not recorded", command)
    for model, bundle in state.to_retrain:
        what = f"{model} was trained with {bundle}, which its hospital withdrew: retrain or drop it"
        yield Step(what, Command("trust withdrawn", (_trust(state.trust),)))


def _keys(state: AggregatorState) -> Iterator[Step]:
    for path in state.requests:
        heard = Word(None, "FINGERPRINT", "--fingerprint")
        what = f"{path.name} asks for trust: call the hospital, which reads out its fingerprint"
        yield Step(what, Command("trust add", (Word(path), heard, _trust(state.trust))))
    for site, end in (state.expiring or {}).items():
        yield Step(f"the last key of {site} ends {end:%Y-%m-%d}: ask for the next one")
    if not state.keys and not state.requests:
        yield Step(f"{state.trust} holds no key: ask the hospitals for their requests")


def _quarantined(state: AggregatorState) -> Iterator[Step]:
    for name, digest in (state.quarantined or {}).items():
        why = Word(None, "WHAT-THEY-SAID", "--why")
        what = f"{name} is in quarantine: call its hospital, then accept it or leave it"
        yield Step(what, Command("trust accept", (Word(digest), why, _trust(state.trust))))


def _rounds(state: AggregatorState) -> Iterator[Step]:
    rounds = state.rounds or {}
    again = hold_round(state.trust)
    for path, ended in rounds.items():
        if ended == "running":
            yield Step(f"the round in {path.name} is running", Command("status", (Word(path),)))
        elif ended == "unfinished":
            what = f"the round in {path.name} has no result, and nobody is at work on it"
            yield Step(what, resume_round(state.trust, path))
        elif ended == "failed":
            what = f"the round in {path.name} stopped: see {path.name}/{FAILURE}"
            yield Step(what, resume_round(state.trust, path))
    if state.keys and not rounds:
        yield Step(f"no round was held with the {state.keys} keys of {state.trust}", again)


def hold_round(trust: Path) -> Command:
    """The command of the next round."""
    superlink = Word(None, "HOST:PORT", "--superlink", "superlink")
    return Command("aggregate", (superlink, _trust(trust), Word(None, "ROUND", "--out")))


def resume_round(trust: Path, path: Path) -> Command:
    """The command that goes on with a round."""
    superlink = Word(None, "HOST:PORT", "--superlink", "superlink")
    out = Word(path, "ROUND", "--out")
    return Command("aggregate", (superlink, _trust(trust), out, Word(option="--resume")))


def _trust(trust: Path) -> Word:
    return Word(trust, "TRUST", "--trust", "trust")
