"""A round that is interrupted at any point, or lacks hospitals, goes on where it was."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from command_kit import gdshare
from flwr.app import Context, Message
from grid_kit import MemoryGrid, VirtualClock
from round_kit import NOW, SITES, World, newer, released
from site_kit import make_bundle, manifest

import aggregator.round
from aggregator.flower.order import Order
from aggregator.record import Stage, read_record
from aggregator.results import RoundResult
from aggregator.round import Round
from gdshare.bundle import Terms
from gdshare.bundle.attestation import Withdrawal
from gdshare.errors import FederationError
from gdshare.ledger import open_ledger, read_ledger
from gdshare.signing import new_key
from gdshare.signing.names import hour_of
from hospital_node.client_app import app as real_app

COUNTS = "test-counts.json"
"""A node's record of what it counted."""


class KilledError(BaseException):
    """What a kill does to the code: it goes no further, and tidies nothing."""


def hold(world: World, grid: MemoryGrid, **changes: object) -> RoundResult:
    """Begin a round in ``out``, or go on with it."""
    (world.folder / "out").mkdir(exist_ok=True)
    fields = {"sites": len(grid.settings), "wait": 0.1, "minimum": 1, "ensemble": 1, **changes}
    always = {"trust": world.folder / "trust", "ledger": world.ledger, "operator": "an operator"}
    order = Order.model_validate(always | fields)
    result = Round(grid, order, NOW, clock=VirtualClock()).run(world.folder / "out")
    assert result is not None
    return result


def stage_of(world: World) -> Stage:
    with read_record(world.folder / "out" / "round.sqlite") as record:
        return record.stage


def killing(kind: str, calls: list[int], after: int) -> Callable[[Message, Context], Message]:
    """A node that kills the aggregator in place of its answer number ``after``."""

    def answer(message: Message, context: Context) -> Message:
        if message.metadata.message_type == kind:
            calls.append(1)
            if len(calls) == after:
                raise KilledError
        return real_app(message, context)

    return answer


def said_twice(world: World) -> list[tuple[str, str, str | None, str]]:
    said = [(line.act, line.what, line.digest, line.why) for line in read_ledger(world.ledger)]
    return [entry for entry in said if said.count(entry) > 1]


@pytest.fixture
def undisturbed(world: World) -> RoundResult:
    result = hold(released(world), world.grid())
    (world.folder / "out").rename(world.folder / "undisturbed")
    for site in SITES:
        for path in (world.folder / site / "state").rglob("*"):
            if path.is_file():
                path.unlink()
    for path in world.folder.glob("trust-ledger*"):
        path.unlink()
    return result


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("query.collect", 1),
        ("query.collect", 3),
        *(("evaluate.counts", n) for n in (1, 6, 7, 9, 10, 12)),
    ],
)
def test_killed_while_hospitals_answer_it_ends_as_if_it_had_not_been(
    world: World, undisturbed: RoundResult, kind: str, after: int
) -> None:
    calls: list[int] = []
    grid = world.grid()
    grid.apps = dict.fromkeys(grid.settings, killing(kind, calls, after))
    with pytest.raises(KilledError):
        hold(world, grid)
    result = hold(world, grid)
    assert result.rows == undisturbed.rows
    assert result.epsilon == undisturbed.epsilon
    assert stage_of(world) is Stage.CLOSED
    assert said_twice(world) == []
    for site in SITES:
        counts = json.loads((world.folder / site / "state" / COUNTS).read_text())
        models = [(entry["model"], entry["epsilon"]) for entry in counts["entries"]]
        assert len(models) == len(set(models)), "a node counted something twice"


@pytest.mark.parametrize("where", ["verify_and_record", "assess", "decide", "train_pooled"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_between_its_steps_it_ends_as_if_it_had_not_been(
    world: World,
    undisturbed: RoundResult,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    when: str,
) -> None:
    real = getattr(aggregator.round, where)

    def killed(*parts: object, **more: object) -> object:
        if when == "after":
            real(*parts, **more)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(aggregator.round, where, killed)
        with pytest.raises(KilledError):
            hold(world, world.grid())
    assert hold(world, world.grid()).rows == undisturbed.rows
    assert said_twice(world) == []


def test_model_that_was_trained_is_not_trained_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = released(world).grid()
    calls: list[int] = []
    grid.apps = dict.fromkeys(grid.settings, killing("evaluate.counts", calls, 8))
    with pytest.raises(KilledError):
        hold(world, grid)
    assert stage_of(world) is Stage.TRAINED
    monkeypatch.setattr(aggregator.round, "train_pooled", lambda *parts: 1 // 0)
    assert set(hold(world, grid).bundles) == set(SITES)


def test_pool_of_one_hospital_is_none(world: World) -> None:
    released(world, "east")
    with pytest.raises(FederationError, match=r"1 hospitals were admitted \(east\).*asks for 2"):
        hold(world, world.grid(), minimum=2)
    assert stage_of(world) is Stage.COLLECTING
    assert not (world.folder / "out" / "model").exists()
    world.release("west", make_bundle("west", world.keys["west"]))
    assert set(hold(world, world.grid(), minimum=2).bundles) == {"east", "west"}
    assert said_twice(world) == []


def test_too_few_validation_counts_spend_no_test_film(world: World) -> None:
    grid = released(world).grid()
    for node in (2, 3):
        grid.settings[node]["minimum-films"] = 100  # type: ignore[index]
    with pytest.raises(FederationError, match=r"1 hospitals counted validation films \(east\)"):
        hold(world, grid, minimum=2)
    assert stage_of(world) is Stage.TRAINED
    east = json.loads((world.folder / "east" / "state" / COUNTS).read_text())
    assert all(entry["epsilon"] is None for entry in east["entries"])
    grid.settings[2]["minimum-films"] = 4  # type: ignore[index]
    assert set(hold(world, grid, minimum=2).test) == {"east", "north"}


def test_late_hospital_does_not_change_what_is_fixed(world: World) -> None:
    """West's node is away for the validation counts, and comes back while test films are asked."""
    grid = released(world).grid()
    calls: list[int] = []
    grid.settings[3]["minimum-films"] = 100  # type: ignore[index]
    kill = killing("evaluate.counts", calls, 4 + 3 + 1)
    grid.apps = dict.fromkeys((1, 2), kill)
    with pytest.raises(KilledError):
        hold(world, grid)
    fixed = stage_of(world)
    grid.settings[3]["minimum-films"] = 4  # type: ignore[index]
    result = hold(world, grid)
    if fixed is Stage.FIXED:
        assert set(result.validation) == {"east", "north"}
    assert stage_of(world) is Stage.CLOSED


def test_withdrawal_between_kill_and_resume_ends_the_round(world: World) -> None:
    grid = released(world).grid()
    calls: list[int] = []
    grid.apps = dict.fromkeys(grid.settings, killing("evaluate.counts", calls, 8))
    with pytest.raises(KilledError):
        hold(world, grid)
    digest = next(e.digest for e in read_ledger(world.ledger) if e.what == "west-1")

    with open_ledger(world.ledger) as ledger:
        ledger.write(NOW, "withdraw", "an operator", "west-1", digest, "signed with x")
    with pytest.raises(FederationError, match=r"during the round|before the round was interrupted"):
        hold(world, grid)


def test_bundle_that_the_aggregator_has_is_not_sent_again(world: World) -> None:
    grid = released(world).grid()
    hold(world, grid)
    (world.folder / "out").rename(world.folder / "first")
    answers: list[set[str]] = []

    def listen(message: Message, context: Context) -> Message:
        reply = real_app(message, context)
        if message.metadata.message_type == "query.collect":
            answers.append(set(reply.content.config_records["answer"]))
        return reply

    grid.apps = dict.fromkeys(grid.settings, listen)
    assert set(hold(world, grid).bundles) == set(SITES)
    assert answers == [{"unchanged"}] * 3
    newer(world, "east", 2)
    (world.folder / "out").rename(world.folder / "second")
    assert set(hold(world, grid).bundles) == set(SITES)
    assert [len(names) > 1 for names in answers[3:]].count(True) == 1


def test_model_travels_once(world: World) -> None:
    """Validation films are asked for with what the model is made of; test films by its name."""
    asked: list[dict[str, object]] = []

    def listen(message: Message, context: Context) -> Message:
        if message.metadata.message_type == "evaluate.counts":
            asked.append(dict(message.content.config_records["question"]))
        return real_app(message, context)

    grid = released(world).grid()
    grid.apps = {1: listen}
    hold(world, grid)
    files = [sum(isinstance(value, bytes) for value in fields.values()) for fields in asked]
    lone, validation, test = files[:2], files[2], files[3]
    assert lone == [6, 6], "each of the two others' bundles, once"
    assert validation == 6, "its own, which it was not shown yet"
    assert test == 0
    assert set(asked[3]) == {"what", "network", "protocol", "model-digest", "epsilon"}


def test_store_holds_no_withdrawn_bundle(world: World, tmp_path: Path) -> None:
    hold(released(world), world.grid())
    store = world.folder / "trust-bundles"
    digest = next(e.digest for e in read_ledger(world.ledger) if e.what == "west-1")
    assert (store / str(digest)).is_dir()

    with open_ledger(world.ledger) as ledger:
        ledger.write(NOW, "withdraw", "an operator", "west-1", digest, "signed with x")
    (world.folder / "out").rename(world.folder / "first")
    assert set(hold(world, world.grid()).bundles) == {"east", "north"}
    assert not (store / str(digest)).exists()


def test_closed_round_keeps_no_bundle_in_its_folder(world: World) -> None:
    hold(released(world), world.grid())
    content = (world.folder / "out" / "round.sqlite").read_bytes()
    bundle = world.folder / "east" / "outbox" / "east-1"
    for path in bundle.iterdir():
        assert path.read_bytes()[:200] not in content, path.name


def test_withdrawal_that_comes_as_a_file_deletes_the_bundle_at_once(world: World) -> None:
    hold(released(world), world.grid())
    digest = next(e.digest for e in read_ledger(world.ledger) if e.what == "west-1")
    withdrawal = Withdrawal(site="west", sequence=1, at=hour_of(NOW))
    content = withdrawal.signed(str(digest), world.keys["west"])
    path = world.folder / "west-1.withdrawal"
    path.write_bytes(content)
    gdshare("trust", "withdrawn", path, "--trust", world.folder / "trust", check=True)
    assert not (world.folder / "trust-bundles" / str(digest)).exists()


def test_second_process_on_a_closed_round_changes_nothing(world: World) -> None:
    """A run that the SuperLink starts again, after its successor has closed the round."""
    hold(released(world), world.grid())
    before = {path.name: path.read_bytes() for path in (world.folder / "out").glob("*.js*")}
    lines = len(read_ledger(world.ledger))
    order = Order(trust=world.folder / "trust", ledger=world.ledger, operator="an operator")
    again = Round(world.grid(), order, NOW, clock=VirtualClock()).run(world.folder / "out")
    assert again is None
    assert stage_of(world) is Stage.CLOSED
    assert len(read_ledger(world.ledger)) == lines
    assert {p.name: p.read_bytes() for p in (world.folder / "out").glob("*.js*")} == before


def test_key_that_is_gone_for_a_moment_reopens_nothing(world: World) -> None:
    grid = released(world).grid()
    calls: list[int] = []
    grid.apps = dict.fromkeys(grid.settings, killing("evaluate.counts", calls, 12))
    with pytest.raises(KilledError):
        hold(world, grid)
    assert stage_of(world) is Stage.FIXED
    key = world.folder / "trust" / "west.pub"
    content, lines = key.read_bytes(), len(read_ledger(world.ledger))
    key.unlink()
    with pytest.raises(FederationError, match="before the round was interrupted"):
        hold(world, grid)
    assert stage_of(world) is Stage.FIXED
    key.write_bytes(content)
    acts = {entry.act for entry in read_ledger(world.ledger)[lines:]}
    assert acts <= {"refuse"}, "nothing was admitted or quarantined anew"


@pytest.mark.parametrize("stops", [True, False])
def test_step_begins_its_time_anew_where_the_round_stopped_by_itself_and_not_after_a_kill(
    world: World, stops: bool
) -> None:
    """West's node is there and says nothing; a node has 10 s for an answer, the step 100."""
    released(world, "east")
    order = Order(
        **{"trust": world.folder / "trust", "ledger": world.ledger, "operator": "an operator"},
        **{"sites": 2, "minimum": 2, "ensemble": 1, "timeout": 10.0, "deadline": 100.0},
    )
    (world.folder / "out").mkdir()

    def waited(killed_after: float = float("inf")) -> float:
        clock, grid = VirtualClock(), world.grid("east", "west")
        grid.silent = {2}
        known = grid.get_node_ids

        def nodes() -> Iterable[int]:
            if clock.seconds >= killed_after:
                raise KilledError
            return known()

        grid.get_node_ids = nodes  # type: ignore[method-assign]
        with pytest.raises((FederationError, KilledError)):
            Round(grid, order, NOW, clock=clock).run(world.folder / "out")
        return clock.seconds

    assert (waited() >= 100) if stops else (waited(killed_after=60) < 63)
    assert (100 if stops else 40) <= waited() < (103 if stops else 52)


def test_hospital_whose_bundle_did_not_do_may_hand_over_another(world: World) -> None:
    released(world, "east").release("west", make_bundle("west", new_key()))
    with pytest.raises(FederationError, match="asks for 2"):
        hold(world, world.grid(), minimum=2)
    newer(world, "west", 2)
    assert set(hold(world, world.grid(), minimum=2).bundles) == {"east", "west"}


def test_refusal_keeps_its_word_after_a_kill(world: World) -> None:
    grid = released(world).grid()
    grid.settings[3]["minimum-films"] = 100  # type: ignore[index]
    calls: list[int] = []
    grid.apps = dict.fromkeys((1, 2), killing("evaluate.counts", calls, 7))
    with pytest.raises(KilledError):
        hold(world, grid)
    assert stage_of(world) is Stage.FIXED
    missing = {(own.what, own.reason) for own in hold(world, grid).missing}
    assert missing == {("val", "too-few-films"), ("test", "too-few-films")}


def test_bundle_that_is_not_for_this_aggregator_is_not_kept(world: World) -> None:
    about = manifest("west", terms=Terms(recipients=("osaka",)))
    released(world, "east", "north").release("west", make_bundle("west", world.keys["west"], about))
    assert set(hold(world, world.grid()).bundles) == {"east", "north"}
    kept = [path for path in (world.folder / "trust-bundles").iterdir() if path.is_dir()]
    assert len(kept) == 2
