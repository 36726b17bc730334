"""Images that teach no more than guessing leave only if somebody insists."""

import json

import pytest
from bundle_run_kit import PASSPHRASE, make_run
from command_kit import gdshare

from gdshare.ledger import read_ledger


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A hospital with a key, where no approval is needed."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    gdshare("keys", "new", "--name", "st-mary", "--out", tmp_path / "keys", check=True)
    return tmp_path


def prepared(desk, *more):
    words = ("--out", desk / "prepared", "--outbox", desk / "outbox", "--site", "st-mary")
    return gdshare("prepare", desk / "run", *words, *more)


def release(desk, *more):
    words = ("--key", desk / "keys" / "st-mary.key", "--outbox", desk / "outbox")
    return gdshare("release", desk / "prepared", *words, *more)


def why_released(desk):
    entries = read_ledger(desk / "outbox-ledger.jsonl")
    return next(entry.why for entry in entries if entry.act == "release")


def test_page_shows_what_the_images_teach(desk):
    make_run(desk / "run", low=0.55)
    ended = prepared(desk)
    assert "patch score 0.600 (95% interval from 0.550; 0.333 is guessing)" in ended.out
    assert "AT CHANCE" not in ended.out
    page = (desk / "prepared" / "review.html").read_text(encoding="utf-8")
    assert "better than guessing" in page
    assert "on 600 patches of this hospital&#x27;s validation patients" in page
    text = (desk / "prepared" / "review.txt").read_text(encoding="utf-8")
    assert "WHAT THE IMAGES TEACH\nPatch score 0.600" in text
    assert release(desk).status == 0
    assert "at chance" not in why_released(desk)


def test_figure_does_not_leave(desk):
    make_run(desk / "run")
    prepared(desk)
    release(desk)
    files = (desk / "outbox" / "st-mary-1").iterdir()
    assert not [file.name for file in files if b"0.6000000" in file.read_bytes()]
    assert not (desk / "outbox" / "st-mary-1" / "score.json").exists()


def test_run_at_chance_is_released_only_when_asked(desk):
    make_run(desk / "run", low=0.33)
    assert "AT CHANCE" in prepared(desk).out
    page = (desk / "prepared" / "review.html").read_text(encoding="utf-8")
    assert "NOTHING: at chance" in page
    assert "cannot be released without --at-chance" in page
    refused = release(desk)
    assert refused.status != 0
    assert "st-mary-1: its images teach no more than guessing" in refused.err
    assert not (desk / "outbox").exists()
    assert release(desk, "--at-chance").status == 0
    assert "at chance" in why_released(desk)


def test_publish_keeps_the_same_rule(desk):
    make_run(desk / "run", low=0.33)
    words = ("--key", desk / "keys" / "st-mary.key", "--outbox", desk / "outbox")
    publish = ("publish", desk / "run", *words, "--site", "st-mary")
    refused = gdshare(*publish)
    assert refused.status != 0
    assert "teach no more than guessing" in refused.err
    assert not (desk / "outbox").exists()
    gdshare(*publish, "--at-chance", check=True)
    assert "at chance" in why_released(desk)


def test_run_that_nobody_measured_is_not_prepared(desk):
    (make_run(desk / "run") / "score.json").unlink()
    ended = prepared(desk)
    assert ended.status == 2
    assert "nobody measured what its images teach" in ended.err
    assert "give gdshare prepare the cohort" in ended.err
    assert not (desk / "prepared").exists()


def test_figure_of_other_images_is_refused(desk):
    run = make_run(desk / "run")
    record = json.loads((run / "score.json").read_text(encoding="utf-8"))
    record["tensors_sha256"] = "0" * 64
    (run / "score.json").write_text(json.dumps(record), encoding="utf-8")
    assert "is about another result" in prepared(desk).err


def test_page_that_shows_another_figure_is_refused(desk):
    make_run(desk / "run", low=0.33)
    prepared(desk)
    record = json.loads((desk / "prepared" / "score.json").read_text(encoding="utf-8"))
    better = record | {"score": 0.9, "low": 0.8}
    (desk / "prepared" / "score.json").write_text(json.dumps(better), encoding="utf-8")
    assert "is not what the images, the manifest and the policy give" in release(desk).err
