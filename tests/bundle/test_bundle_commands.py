"""``gdshare keys new``, ``gdshare publish`` and ``gdshare verify``."""

import json
import os
import shutil
import stat
from datetime import UTC, datetime

import pytest
import typer
from bundle_factory import distilled, manifest
from bundle_run_kit import PASSPHRASE, keep_score, run_record
from command_kit import gdshare
from typer.testing import CliRunner

from gdshare.bundle import verify_folder
from gdshare.bundle.datasheet import datasheet
from gdshare.bundle.errors import Altered
from gdshare.cli import keys, publish, verify
from gdshare.errors import GdshareError, KeyFileError, LedgerError, RunError, UsageError
from gdshare.ledger import read_ledger
from gdshare.method import Settings
from gdshare.report.preview import render_preview
from gdshare.signing import fingerprint, load_private_key, load_public_key
from gdshare.storage import write_json


@pytest.fixture
def place(tmp_path):
    """A folder with a finished run and a pair of keys."""
    run = tmp_path / "run"
    run.mkdir()
    record = run_record(Settings(network="resnet18", epochs=1, steps=2, seed=77))
    write_json(run / "run.json", record.model_dump(mode="json"))
    (run / "distilled.safetensors").write_bytes(distilled().to_bytes())
    keep_score(run, distilled())
    invoke("keys", "new", "--out", tmp_path / "keys", "--name", "st-mary")
    return tmp_path


def invoke(*words, stdin=None, passphrase=PASSPHRASE):
    app = typer.Typer(pretty_exceptions_enable=False)
    for module in (keys, publish, verify):
        module.register(app)
    environment = {"GDSHARE_PASSPHRASE": passphrase}
    result = CliRunner().invoke(app, [str(word) for word in words], input=stdin, env=environment)
    if isinstance(result.exception, GdshareError):
        raise result.exception
    return result


def publish_run(place, *more):
    words = ("--key", place / "keys" / "st-mary.key", "--outbox", place / "outbox", *more)
    site = () if "--site" in more else ("--site", "st-mary")
    return invoke("publish", place / "run", *words, *site)


def verify_bundle(place, *more):
    public = place / "keys" / "st-mary.pub"
    return invoke("verify", place / "outbox" / "st-mary-1", "--key", public, *more)


def test_keys_published_and_verified(place):
    published = publish_run(place)
    assert published.exit_code == 0, published.output
    result = verify_bundle(place)
    assert result.exit_code == 0
    assert result.stdout.startswith("yes: st-mary-1")


def test_a_keys_fingerprint_is_shown_as_it_is_said(place):
    shown = invoke("keys", "show", place / "keys" / "st-mary.pub").stdout.splitlines()
    whole, said = (line.split(maxsplit=1)[1] for line in shown)
    assert whole == fingerprint(load_public_key(place / "keys" / "st-mary.pub"))
    assert said.removeprefix("say ").replace(" ", "") == whole


def test_what_is_published_describes_the_run(place):
    publish_run(place, "--expires-days", "30")
    public = load_public_key(place / "keys" / "st-mary.pub")
    bundle = verify_folder(place / "outbox" / "st-mary-1", public, datetime.now(UTC))
    assert bundle.manifest.method == Settings(network="resnet18", epochs=1, steps=2).method()
    assert bundle.manifest.counts == manifest().counts
    assert (bundle.manifest.expires - bundle.manifest.created).days == 30
    assert bundle.manifest.created.minute == bundle.manifest.created.second == 0


def test_text_and_picture_are_drawn_anew(place):
    (place / "run" / "preview.png").write_bytes(b"a patient's film")
    (place / "run" / "README.md").write_bytes(b"a patient's name")
    publish_run(place)
    folder = place / "outbox" / "st-mary-1"
    public = load_public_key(place / "keys" / "st-mary.pub")
    bundle = verify_folder(folder, public, datetime.now(UTC))
    assert (folder / "preview.png").read_bytes() == render_preview(distilled())
    assert (folder / "README.md").read_text(encoding="utf-8") == datasheet(
        bundle.manifest, distilled()
    )


def test_the_next_bundle_gets_the_next_number(place):
    publish_run(place)
    publish_run(place)
    publish_run(place, "--sequence", "9")
    assert {path.name for path in (place / "outbox").iterdir()} == {
        "st-mary-1",
        "st-mary-2",
        "st-mary-9",
    }


def test_a_number_is_not_published_twice(place):
    publish_run(place)
    with pytest.raises(GdshareError, match="nothing is ever overwritten; publish with number 2"):
        publish_run(place, "--sequence", "1")


def test_a_number_below_the_last_is_not_published(place):
    publish_run(place, "--sequence", "9")
    with pytest.raises(GdshareError, match="publish with number 10"):
        publish_run(place, "--sequence", "3")


def test_a_number_whose_bundle_was_taken_away_is_not_used_again(place):
    publish_run(place)
    shutil.rmtree(place / "outbox")
    publish_run(place)
    assert [path.name for path in (place / "outbox").iterdir()] == ["st-mary-2"]


def test_every_release_is_in_the_ledger_before_the_bundle_is_in_the_outbox(place, monkeypatch):
    publish_run(place, "--by", "A. Officer")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gdshare.release.publish.write_bundle", killed)
    publish_run(place)
    entries = read_ledger(place / "outbox-ledger.jsonl")
    assert [(entry.act, entry.what) for entry in entries] == [
        ("release", "st-mary-1"),
        ("release", "st-mary-2"),
    ]
    assert entries[0].by == "A. Officer"
    public = load_public_key(place / "keys" / "st-mary.pub")
    bundle = verify_folder(place / "outbox" / "st-mary-1", public, datetime.now(UTC))
    assert entries[0].digest == bundle.digest
    assert [path.name for path in (place / "outbox").iterdir()] == ["st-mary-1"]


def test_bundle_that_cannot_be_written_is_abandoned_in_the_ledger(place):
    (place / "outbox").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(GdshareError):
        publish_run(place)
    entries = read_ledger(place / "outbox-ledger.jsonl")
    assert [entry.act for entry in entries] == ["release", "abandon"]
    assert str(place / "outbox") in entries[1].why


def test_nothing_is_published_while_the_ledger_is_damaged(place):
    publish_run(place)
    ledger = place / "outbox-ledger.jsonl"
    ledger.write_bytes(b"")
    with pytest.raises(LedgerError, match="cut short"):
        publish_run(place)
    assert [path.name for path in (place / "outbox").iterdir()] == ["st-mary-1"]


def test_verify_says_why_not(place):
    publish_run(place)
    (place / "outbox" / "st-mary-1" / "preview.png").write_bytes(b"another")
    with pytest.raises(Altered, match="preview"):
        verify_bundle(place)


def test_verify_as_json(place):
    publish_run(place)
    verdict = json.loads(verify_bundle(place, "--json").stdout)
    assert verdict["verified"] is True
    assert verdict["manifest"]["sequence"] == 1


def test_the_whole_command_refuses_in_one_sentence_with_status_3(place):
    publish_run(place)
    bundle, public = place / "outbox" / "st-mary-1", place / "keys" / "st-mary.pub"
    (bundle / "README.md").unlink()
    status, out, err = gdshare("verify", bundle, "--key", public, "--json")
    assert status == 3
    assert json.loads(out)["reason"] == "MissingFile"
    assert err.count("\n") == 1
    assert "README.md" in err


def test_a_passphrase_from_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"from a file\r\n")
    secret.chmod(0o600)
    invoke("keys", "new", "--out", tmp_path, "--name", "a", "--passphrase-file", secret)
    load_private_key(tmp_path / "a.key", b"from a file")


@pytest.fixture
def keyboard(monkeypatch):
    """Input that counts as typed at a terminal."""
    monkeypatch.setattr("gdshare.cli.passphrase.has_terminal", lambda: True)


def test_without_a_terminal_the_other_ways_are_named(tmp_path):
    with pytest.raises(KeyFileError, match=r"no terminal.*--passphrase-file.*GDSHARE_PASSPHRASE"):
        invoke("keys", "new", "--out", tmp_path / "k", "--name", "st-mary", passphrase=None)
    assert not (tmp_path / "k").exists()


def test_a_passphrase_from_the_keyboard_is_asked_twice(tmp_path, keyboard):
    wrong = invoke(
        "keys", "new", "--out", tmp_path, "--name", "a", stdin="one\ntwo\n", passphrase=None
    )
    assert wrong.exit_code != 0
    assert not (tmp_path / "a.key").exists()
    invoke("keys", "new", "--out", tmp_path, "--name", "a", stdin="one\none\n", passphrase=None)
    load_private_key(tmp_path / "a.key", b"one")


def test_a_passphrase_is_never_shown(tmp_path, keyboard):
    result = invoke(
        "keys", "new", "--out", tmp_path, "--name", "a", stdin="s3same\ns3same\n", passphrase=None
    )
    assert "s3same" not in result.output


def test_an_empty_passphrase_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="passphrase"):
        invoke("keys", "new", "--out", tmp_path, "--name", "a", passphrase="")


def test_a_missing_passphrase_file_is_told(tmp_path):
    missing = tmp_path / "none"
    with pytest.raises(KeyFileError, match="none"):
        invoke("keys", "new", "--out", tmp_path, "--name", "a", "--passphrase-file", missing)


def test_keys_new_shows_the_fingerprint_and_locks_the_file(tmp_path):
    result = invoke("keys", "new", "--out", tmp_path / "k", "--name", "a")
    assert "fingerprint" in result.stdout
    assert stat.S_IMODE((tmp_path / "k" / "a.key").stat().st_mode) == 0o600


def test_a_wrong_passphrase_publishes_nothing(place):
    (place / "secret").write_text("wrong", encoding="utf-8")
    with pytest.raises(KeyFileError, match="passphrase"):
        publish_run(place, "--passphrase-file", place / "secret")
    assert not (place / "outbox").exists()


def test_a_key_others_can_read_publishes_nothing(place):
    (place / "keys" / "st-mary.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        publish_run(place)


def test_a_bad_site_name_is_told(place):
    with pytest.raises(UsageError, match="site"):
        publish_run(place, "--site", "../st-mary")


@pytest.mark.parametrize(
    ("name", "told"),
    [("run.json", r"no readable run\.json"), ("distilled.safetensors", "not finished; go on with")],
)
def test_an_unfinished_run_is_told(place, name, told):
    (place / "run" / name).unlink()
    with pytest.raises(RunError, match=told):
        publish_run(place)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]"])
def test_a_broken_run_record_is_told(place, content):
    (place / "run" / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json"):
        publish_run(place)


def test_a_run_whose_tensors_do_not_fit_its_record_is_told(place):
    content = (place / "run" / "distilled.safetensors").read_bytes()
    (place / "run" / "distilled.safetensors").write_bytes(content[:-4])
    with pytest.raises(RunError, match="distil again"):
        publish_run(place)


def test_the_commands_leave_nothing_in_the_environment():
    assert "GDSHARE_PASSPHRASE" not in os.environ
