"""The state of a hospital's folders, and what waits in it: a pure function, no file is read here.

In the order in which data takes its way: films, cohort, run, what happens once (key, request,
policy), what is prepared, and the outbox.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gdshare.next_steps import commands
from gdshare.next_steps.command import Step


@dataclass(frozen=True)
class Places:
    """Where a hospital's things lie; None: not known.

    Attributes:
        site: the hospital's short name.
        store, cohort, run, prepared, outbox: folders.
        key: the hospital's private key.
    """

    site: str | None = None
    store: Path | None = None
    cohort: Path | None = None
    run: Path | None = None
    prepared: Path | None = None
    outbox: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Films:
    """Numbers of films in the store.

    Attributes:
        held: nobody has reviewed them.
        open: released, without an outline or a diagnosis.
        outlined: ready to be labelled.
    """

    held: int = 0
    open: int = 0
    outlined: int = 0


@dataclass(frozen=True)
class Run:
    """A run of ``gdshare distill``.

    Attributes:
        tensors: SHA-256 of its result; None: it is not finished.
        is_audited: its images were attacked.
    """

    tensors: str | None = None
    is_audited: bool = False


@dataclass(frozen=True)
class PreparedBundle:
    """What was prepared.

    Attributes:
        name: of the bundle.
        tensors: SHA-256 of its images.
        fate: what the ledger says became of it.
        is_allowed: by the policy's rules.
        at_chance: its images teach no more than guessing.
        approvals, needed: how many people approved it, and how many must.
    """

    name: str
    tensors: str
    fate: Literal["prepared", "released", "withdrawn"] = "prepared"
    is_allowed: bool = True
    at_chance: bool = False
    approvals: int = 0
    needed: int = 0


@dataclass(frozen=True)
class HospitalState:
    """What lies in a hospital's folders.

    Attributes:
        places: the folders.
        films: None: there is no store.
        has_cohort: there is one.
        run: None: there is none.
        has_key, has_request: the hospital's key, and the request to trust it.
        has_policy: the ledger names one.
        has_released: anything, ever.
        prepared: None: nothing is.
        newest: the bundle that the node hands over; None: none.
        newest_tensors: SHA-256 of that bundle's images.
        faults: what could not be read, and why.
    """

    places: Places
    films: Films | None = None
    has_cohort: bool = False
    run: Run | None = None
    has_key: bool = False
    has_request: bool = False
    has_policy: bool = False
    has_released: bool = False
    prepared: PreparedBundle | None = None
    newest: str | None = None
    newest_tensors: str | None = None
    faults: tuple[str, ...] = ()


def hospital_steps(state: HospitalState) -> tuple[Step, ...]:
    """What waits at a hospital, in the order of its way; empty if nothing does."""
    return (
        *(Step(fault) for fault in state.faults),
        *_films(state),
        *_run(state),
        *_once(state),
        *_prepared(state),
        *_outbox(state),
    )


def _films(state: HospitalState) -> Iterator[Step]:
    films, places = state.films, state.places
    if films is None:
        if places.store is not None and not state.has_cohort:
            yield Step("no films are imported", commands.import_films(places.store))
        return
    if films.held:
        what = f"{_count(films.held, 'film')} may show a name, until somebody has reviewed it"
        yield Step(what, commands.review(places.store))
    if films.open:
        what = f"{_count(films.open, 'film')} without an outline or a diagnosis"
        yield Step(what, commands.outline(places.store))
    if films.outlined and not state.has_cohort:
        what = f"{_count(films.outlined, 'outlined film')} not yet cut into patches"
        yield Step(what, commands.label(places.store, places.cohort))


def _run(state: HospitalState) -> Iterator[Step]:
    run, places = state.run, state.places
    if run is None:
        if state.has_cohort:
            yield Step("the cohort is not distilled", commands.distill(places.cohort, places.run))
    elif run.tensors is None:
        what = "the run is not finished (if no process is at it any more)"
        yield Step(what, commands.distill(places.cohort, places.run, resume=True))
    elif not run.is_audited:
        yield Step("the run's images are not attacked", commands.audit(places.run, places.cohort))


def _once(state: HospitalState) -> Iterator[Step]:
    places = state.places
    if places.key is not None and not state.has_key:
        yield Step("the hospital has no key", commands.new_key(places.key))
    elif places.key is not None and not (state.has_request or state.has_released):
        what = "the aggregator was not asked to trust the hospital's key"
        yield Step(what, commands.request_trust(places.key, places.site))
    if places.outbox is not None and not state.has_policy:
        what = "no policy is in force, so that nobody needs to approve"
        yield Step(what, commands.new_policy(places.outbox, places.site))


def _prepared(state: HospitalState) -> Iterator[Step]:
    bundle, places = state.prepared, state.places
    if bundle is None or bundle.fate != "prepared":
        yield from _to_prepare(state)
    elif not bundle.is_allowed:
        yield Step(f"{bundle.name} breaks a rule of the policy: see {places.prepared}/review.html")
    elif bundle.approvals < bundle.needed:
        what = (
            f"{bundle.name} has {bundle.approvals} of {bundle.needed} approvals: an officer looks "
            f"at {places.prepared}/review.html, which shows the digest"
        )
        yield Step(what, commands.approve(places.prepared, places.outbox))
    else:
        chance = ", though its images teach no more than guessing" if bundle.at_chance else ""
        what = f"{bundle.name} may be released{chance}"
        command = commands.release(places.prepared, places.outbox, at_chance=bundle.at_chance)
        yield Step(what, command)


def _to_prepare(state: HospitalState) -> Iterator[Step]:
    """A finished run that nobody has prepared yet, nor published at once."""
    bundle, run, places = state.prepared, state.run, state.places
    if run is None or run.tensors in (None, state.newest_tensors) or places.prepared is None:
        return
    command = commands.prepare(places.run, places.prepared, places.outbox, places.site)
    if bundle is None:
        yield Step("the run is not prepared for a release", command)
    elif bundle.tensors != run.tensors:
        what = (
            f"the run is not prepared for a release: first move {places.prepared} elsewhere, which "
            f"holds {bundle.name}, {bundle.fate}"
        )
        yield Step(what, command)


def _outbox(state: HospitalState) -> Iterator[Step]:
    if state.newest is not None:
        yield Step(f"{state.newest} is the node's to hand over", commands.serve_node())
    elif state.has_released:
        yield Step("the node has nothing to hand over: the newest bundle was withdrawn, or is gone")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
