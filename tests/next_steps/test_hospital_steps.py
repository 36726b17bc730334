"""What waits at a hospital, as a function of its state."""

from dataclasses import replace
from pathlib import Path

import pytest

from gdshare.next_steps import HospitalState, hospital_steps, spell
from gdshare.next_steps.hospital import Films, Places, PreparedBundle, Run

PLACES = Places(
    site="st-mary",
    store=Path("store"),
    cohort=Path("cohort"),
    run=Path("run"),
    prepared=Path("prepared"),
    outbox=Path("outbox"),
    key=Path("keys/st-mary.key"),
)
GIVEN = {
    "site": "st-mary",
    **{name: name for name in ("store", "cohort", "run", "prepared", "outbox")},
    "key": "keys/st-mary.key",
}
READY = HospitalState(PLACES, has_cohort=True, has_key=True, has_request=True, has_policy=True)
"""Everything that happens once has happened, and nothing is distilled."""
AUDITED = replace(READY, run=Run("a" * 64, is_audited=True))
BUNDLE = PreparedBundle("st-mary-1", "a" * 64, needed=1)


def told(state: HospitalState) -> list[tuple[str, str | None]]:
    return [
        (step.what, None if step.command is None else spell(step.command, GIVEN))
        for step in hospital_steps(state)
    ]


def commands(state: HospitalState) -> list[str | None]:
    return [command for _, command in told(state)]


def test_empty_hospital_begins_with_films_and_with_what_happens_once():
    assert commands(HospitalState(PLACES)) == [
        "gdshare import DIR",
        "gdshare keys new --name st-mary",
        "gdshare policy new --approver OFFICER.pub",
    ]


def test_place_that_is_not_known_gives_no_step():
    assert hospital_steps(HospitalState(Places())) == ()


@pytest.mark.parametrize(
    ("films", "expected"),
    [
        (Films(held=1), ["gdshare review"]),
        (Films(open=2), ["gdshare label --serve"]),
        (Films(outlined=3), ["gdshare label"]),
        (Films(1, 2, 3), ["gdshare review", "gdshare label --serve", "gdshare label"]),
        (Films(), []),
    ],
)
def test_films_wait_for_a_review_then_an_outline_then_patches(films, expected):
    assert commands(replace(READY, has_cohort=False, films=films)) == expected


def test_outlined_films_do_not_wait_where_there_is_a_cohort():
    assert told(replace(AUDITED, films=Films(outlined=3), prepared=BUNDLE))[0][0].startswith(
        "st-mary-1 has 0 of 1 approvals"
    )


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (None, ["gdshare distill"]),
        (Run(), ["gdshare distill --resume"]),
        (Run("a" * 64), ["gdshare audit", "gdshare prepare"]),
        (Run("a" * 64, is_audited=True), ["gdshare prepare"]),
    ],
)
def test_run_is_finished_then_attacked_then_prepared(run, expected):
    assert commands(replace(READY, run=run)) == expected


def test_key_is_made_then_the_aggregator_is_asked_until_something_was_released():
    without = replace(AUDITED, prepared=BUNDLE, has_key=False, has_request=False)
    assert commands(without)[0] == "gdshare keys new --name st-mary"
    assert commands(replace(without, has_key=True))[0] == "gdshare keys request"
    released = replace(without, has_key=True, has_released=True)
    assert "gdshare keys request" not in commands(released)


@pytest.mark.parametrize(
    ("changes", "what", "command"),
    [
        ({}, "0 of 1 approvals", "gdshare approve --key OFFICER.key --digest DIGEST"),
        ({"approvals": 1}, "may be released", "gdshare release"),
        ({"needed": 0}, "may be released", "gdshare release"),
        (
            {"approvals": 1, "at_chance": True},
            "no more than guessing",
            "gdshare release --at-chance",
        ),
        ({"is_allowed": False}, "breaks a rule of the policy", None),
    ],
)
def test_prepared_bundle_waits_for_approvals_then_for_its_release(changes, what, command):
    [(shown, following)] = told(replace(AUDITED, prepared=replace(BUNDLE, **changes)))
    assert what in shown
    assert following == command


def test_released_bundle_is_the_nodes_and_its_run_is_not_prepared_again():
    bundle = replace(BUNDLE, fate="released")
    state = replace(AUDITED, prepared=bundle, has_released=True, newest="st-mary-1")
    serve = "gdshare node node.toml --superlink HOST:PORT"
    assert told(state) == [("st-mary-1 is the node's to hand over", serve)]


def test_newer_run_is_prepared_once_the_folder_is_free():
    bundle = replace(BUNDLE, fate="released", tensors="b" * 64)
    [(what, command), _] = told(
        replace(AUDITED, prepared=bundle, has_released=True, newest="st-mary-1")
    )
    assert "first move prepared elsewhere, which holds st-mary-1, released" in what
    assert command == "gdshare prepare"


def test_run_that_was_published_at_once_is_not_prepared():
    state = replace(AUDITED, has_released=True, newest="st-mary-1", newest_tensors="a" * 64)
    assert commands(state) == ["gdshare node node.toml --superlink HOST:PORT"]
    assert commands(replace(state, newest_tensors="b" * 64))[0] == "gdshare prepare"


def test_key_is_made_where_it_is_looked_for():
    places = replace(PLACES, key=Path("/srv/my keys/west.key"))
    [command, *_] = commands(replace(AUDITED, places=places, prepared=BUNDLE, has_key=False))
    assert command == "gdshare keys new --name west --out '/srv/my keys'"


def test_withdrawn_bundle_leaves_nothing_to_hand_over():
    bundle = replace(BUNDLE, fate="withdrawn")
    [(what, command)] = told(replace(AUDITED, prepared=bundle, has_released=True))
    assert what == "the node has nothing to hand over: the newest bundle was withdrawn, or is gone"
    assert command is None


def test_what_cannot_be_read_is_told_first():
    state = replace(AUDITED, prepared=BUNDLE, faults=("run: damaged",))
    assert told(state)[0] == ("run: damaged", None)
