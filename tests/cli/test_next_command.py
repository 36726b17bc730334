"""``gdshare next`` reads real folders; whoever does what it says arrives at a release."""

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from audit_kit import audit_within_bounds
from bundle_run_kit import PASSPHRASE, make_run
from command_kit import gdshare
from desk_kit import Desk
from store_kit import small_store, square, stored

from gdshare.store.outline import Drawing, save_outline

NOW = datetime(2026, 3, 31, 11, tzinfo=UTC)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A hospital's folder with a gdshare.toml, and the passphrase of all keys."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    gdshare("config", "new", "--site", "st-mary", check=True)
    return tmp_path


def waiting():
    """What waits, as (what, command)."""
    steps = json.loads(gdshare("next", "--json", check=True).out)
    return [(step["what"], step["command"]) for step in steps]


def commands():
    return [command for _, command in waiting()]


def in_place_of(word):
    """What a person types for a stand-in."""
    match word:
        case "OFFICER.pub":
            return "officer-keys/officer.pub"
        case "OFFICER.key":
            return "officer-keys/officer.key"
        case "DIGEST":
            page = Path("prepared/review.html").read_text(encoding="utf-8")
            return page.split("Digest of all: <code>")[1][:16]
    return word


def contents(folder):
    """Of all files but locks, which say who was the last to hold them."""
    paths = [path for path in folder.rglob("*") if path.suffix != ".lock"]
    return {path: path.is_file() and path.read_bytes() for path in paths}


def audited_run(folder):
    audit_within_bounds(make_run(folder))


def test_whoever_does_what_it_says_arrives_at_a_release(here):
    audited_run(here / "run")
    gdshare("keys", "new", "--name", "officer", "--out", "officer-keys", check=True)
    small_store(here / "store")  # so that no films are missed
    done = []
    while (
        command := next(c for c in commands() if c and c != "gdshare label --serve")
    ) not in done:
        done.append(command)
        if command.startswith("gdshare node"):
            break
        gdshare(*(in_place_of(word) for word in shlex.split(command)[1:]), check=True)
    assert done == [
        "gdshare keys new --name st-mary",
        "gdshare keys request",
        "gdshare policy new --approver OFFICER.pub",
        "gdshare prepare",
        "gdshare approve --key OFFICER.key --digest DIGEST",
        "gdshare release",
        "gdshare node node.toml --superlink HOST:PORT",
    ]
    assert (here / "outbox" / "st-mary-1" / "bundle.sig").exists()


def test_each_command_names_the_same_next_command(here):
    audited_run(here / "run")
    gdshare("keys", "new", "--name", "officer", "--out", "officer-keys", check=True)
    gdshare("policy", "new", "--approver", "officer-keys/officer.pub", check=True)
    gdshare("keys", "new", "--name", "st-mary", check=True)
    gdshare("keys", "request", check=True)
    shown = gdshare("prepare", check=True).out
    following = "gdshare approve --key OFFICER.key --digest DIGEST"
    assert f"go on with  {following}\n" in shown
    assert commands()[-1] == following
    words = [in_place_of(word) for word in shlex.split(following)[1:]]
    assert "go on with  gdshare release\n" in gdshare(*words, check=True).out
    assert commands()[-1] == "gdshare release"


def test_films_are_counted_by_what_they_wait_for(here):
    films = [stored(number) for number in range(4)]
    films[0] = stored(0, state="held")
    films[3] = stored(3, state="rejected")
    store = small_store(here / "store", *films)
    drawing = Drawing(polygons=((square(8, 8, 40, 40),),), diagnosis="negative")
    save_outline(store, films[1], drawing, 0, NOW)
    assert waiting()[:3] == [
        ("1 film may show a name, until somebody has reviewed it", "gdshare review"),
        ("1 film without an outline or a diagnosis", "gdshare label --serve"),
        ("1 outlined film not yet cut into patches", "gdshare label"),
    ]


def test_unfinished_run_is_gone_on_with(here):
    make_run(here / "run")
    (here / "run" / "distilled.safetensors").unlink()
    assert "gdshare distill --resume" in commands()


def test_withdrawn_bundle_and_altered_page_are_told(here):
    (here / "desk").mkdir()
    desk = Desk(here / "desk")
    words = ("--outbox", desk.outbox, "--prepared", desk.prepared, "--key", desk.key("st-mary"))
    desk.prepare()
    page = desk.prepared / "review.html"
    content = page.read_bytes()
    page.write_bytes(content + b" ")
    ended = gdshare("next", *words, check=True)
    assert ended.out.startswith(f"{page}: is not what the images, the manifest and the policy give")
    page.write_bytes(content)
    desk.approve()
    desk.release()
    digest = desk.shown()
    gdshare("withdraw", "st-mary-1", *words[:2], *words[4:], "--digest", digest, check=True)
    assert "the node has nothing to hand over" in gdshare("next", *words, check=True).out


def test_run_that_was_published_at_once_is_not_to_be_prepared(here):
    audited_run(here / "run")
    gdshare("keys", "new", "--name", "st-mary", check=True)
    assert "gdshare prepare" in commands()
    gdshare("publish", check=True)
    assert "gdshare prepare" not in commands()


def test_damaged_ledger_hides_nothing_else(here):
    make_run(here / "run")
    (here / "outbox-ledger.jsonl").write_text("{}\n", encoding="utf-8")
    (what, command), *others = waiting()
    assert "outbox-ledger.jsonl: line 1 is no entry of a ledger" in what
    assert command is None
    assert "gdshare audit" in [following for _, following in others]


def test_nothing_is_written(here):
    audited_run(here / "run")
    (here / "desk").mkdir()
    desk = Desk(here / "desk")
    desk.prepare()
    before = contents(here)
    gdshare("next", "--outbox", desk.outbox, "--prepared", desk.prepared, check=True)
    assert contents(here) == before


def test_folder_without_a_file_has_no_state_to_tell(here):
    (here / "gdshare.toml").unlink()
    assert "gdshare config new writes a gdshare.toml" in gdshare("next").err
    assert gdshare("next", "--trust", "trust", check=True).out.startswith("trust holds no key")
