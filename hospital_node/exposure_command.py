"""``gdshare exposure``: what this hospital has given away over the years, added up."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import AsJson, print_json, print_line, print_table
from gdshare.config import variable
from gdshare.errors import LedgerError, UsageError
from gdshare.ledger import read_ledger
from gdshare.release.publish import ledger_beside, require_ledger
from gdshare.signing.names import format_utc
from hospital_node.count_record import FILE, read_counts
from hospital_node.exposure import AnswersGiven, BundleGiven, Exposure, exposure_of
from hospital_node.noise import DELTA, epsilon_text
from hospital_node.refusal import RefusedError


def exposure(
    outbox: Annotated[
        Path, typer.Option(envvar=variable("outbox"), help="The outbox that bundles leave from.")
    ],
    state: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="STATE",
            help="The state folder of a node, with its record of counts, which its user and root "
            "can read. Repeatable, where there was more than one.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add up what this hospital has given away: bundles, and answers to questions for counts.

    Each bundle with its guarantee (ε, δ) and what these add up to, with what attacks found, whether
    it was withdrawn, and who confirmed it; and for
    each cohort's validation and test films, with how many models they were counted, and the ε that
    answers with noise have spent. Nothing is asked, and nothing changes.
    """
    require_ledger(outbox)
    answers = None
    if state:
        for folder in state:
            if not (folder / FILE).is_file():
                raise UsageError(f"holds no {FILE}", folder, "give the node's state folder")
        folders = dict.fromkeys(folder.resolve() for folder in state)
        try:
            answers = [entry for folder in folders for entry in read_counts(folder).entries]
        except RefusedError as error:
            raise LedgerError(str(error)) from error
    given = exposure_of(outbox, read_ledger(ledger_beside(outbox)), answers)
    if as_json:
        return print_json(_as_json(given))
    print_table(
        f"Bundles released: {len(given.bundles)}",
        (
            *("bundle", "released", "withdrawn", "confirmed by", "images", "guarantee"),
            "what attacks found",
        ),
        [_bundle_row(bundle) for bundle in given.bundles],
    )
    if given.answers is not None:
        columns = ("cohort", "films", "models", "sent as weights", "numbers", "exact", "noisy")
        print_table(
            "Answers about films",
            (*columns, "ε spent", "first", "last"),
            [_answers_row(answers) for answers in given.answers],
        )
    for sentence in sums(given):
        print_line(sentence)
    return None


def sums(given: Exposure) -> tuple[str, ...]:
    """What it comes to, in sentences; what is not known is said as plainly."""
    withdrawn = sum(bundle.withdrawn is not None for bundle in given.bundles)
    untried = sum(not bundle.attacks and bundle.spent is None for bundle in given.bundles)
    sentences = [
        "What several bundles of the same patients give away together was not measured: an attack "
        "is made on one bundle alone."
    ]
    sentences.append(
        "Of bundles, this outbox's ledger was read: what left from another outbox is in no sum."
    )
    if withdrawn:
        sentences.append(
            f"Of {len(given.bundles)} bundles {withdrawn} were withdrawn: their users must delete "
            "them, and what was learned from them stays learned."
        )
    if untried:
        sentences.append(f"For {untried} bundles no result of an attack is known here.")
    sentences += _guarantees(given)
    if given.answers is None:
        return (*sentences, "No node's record of counts was read (--state).")
    exact = sum(answers.exact for answers in given.answers)
    if exact:
        sentences.append(
            f"{exact} answers left without noise: they have no account, and each tells as much as "
            "its counts do."
        )
    sentences += [
        f"Answers with noise about {split} films have spent ε = {epsilon_text(epsilon)} at "
        f"δ = {DELTA:g} together, for one film exchanged for another of the same diagnosis."
        for split, epsilon in given.epsilon.items()
    ]
    return tuple(sentences)


def _guarantees(given: Exposure) -> list[str]:
    """What the bundles with a guarantee have spent, and that the others bound nothing."""
    spent = given.spent
    if spent is None:
        return []
    again = spent.bundles - spent.looks
    sentences = [
        f"Bundles with a guarantee: {spent.bundles}. If all are of the same patients, they have "
        f"spent at most ε = {spent.epsilon:.3f} at δ = {spent.delta!r} together: the sum (basic "
        "composition), an upper bound."
    ]
    if again:
        sentences.append(f"{again} of them have the images of another, and spend nothing more.")
    others = len(given.bundles) - spent.bundles
    if others:
        sentences.append(
            f"{others} bundles have no guarantee: for patients who are in one of these, nothing "
            "bounds what is given away in all."
        )
    return sentences


def _bundle_row(bundle: BundleGiven) -> tuple[str, ...]:
    attacks = "; ".join(f"{attack.name} {attack.text}" for attack in bundle.attacks)
    return (
        bundle.name,
        _day(bundle.released),
        _day(bundle.withdrawn),
        ", ".join(bundle.receivers) or "nobody",
        "gone" if bundle.images is None else str(bundle.images),
        _spent(bundle),
        attacks or _no_attacks(bundle),
    )


def _spent(bundle: BundleGiven) -> str:
    if bundle.spent is None:
        return "none"
    return f"ε {bundle.spent.epsilon:g}, δ {bundle.spent.delta:g}"


def _no_attacks(bundle: BundleGiven) -> str:
    if bundle.spent is not None:
        return "not published, with a guarantee"
    return "not known: the bundle is gone" if bundle.images is None else "none was tried"


def _answers_row(answers: AnswersGiven) -> tuple[str, ...]:
    counts = (answers.models, answers.untied, answers.numbers, answers.exact, answers.noisy)
    spent = "-" if answers.epsilon is None else epsilon_text(answers.epsilon)
    hours = (_day(answers.first), _day(answers.last))
    return (answers.cohort[:16], answers.split, *map(str, counts), spent, *hours)


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d}"


def _as_json(given: Exposure) -> dict[str, object]:
    bundles = [
        {
            **asdict(bundle),
            "released": format_utc(bundle.released),
            "withdrawn": None if bundle.withdrawn is None else format_utc(bundle.withdrawn),
            "attacks": [attack.model_dump() for attack in bundle.attacks],
        }
        for bundle in given.bundles
    ]
    answers = given.answers and [
        {
            **asdict(part),
            "first": None if part.first is None else format_utc(part.first),
            "last": None if part.last is None else format_utc(part.last),
        }
        for part in given.answers
    ]
    return {
        "bundles": bundles,
        "answers": answers,
        "epsilon": given.epsilon,
        "delta": DELTA,
        "spent": None if given.spent is None else asdict(given.spent),
        "sums": list(sums(given)),
    }


def register(app: typer.Typer) -> None:
    """Add the command to ``gdshare``."""
    app.command()(exposure)
