"""Every command a page shows is one the program takes; the hospital's guide is walked through."""

import re
import shlex
from itertools import groupby
from pathlib import Path

import click
import pytest
import typer
from command_kit import gdshare
from dicom_kit import gradient, radiograph, save
from texture_kit import write_textured_films

from gdshare.cli.defaults import with_defaults
from gdshare.cli.main import build_app
from gdshare.config import Config
from gdshare.config.file import NAME, read_values
from gdshare.config.template import new_config
from gdshare.release.bounds import STANDARD_BOUNDS
from gdshare.release.policy import parse_policy, policy_digest
from gdshare.signing import fingerprint, load_public_key
from gdshare.store import open_store

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("guide-*.md")))
SMALL = {
    "phantom": ["--size", "128", "--negatives", "6", "--positives", "6"],
    "label": ["--patch", "16", "--stride", "8", "--side", "8", "--split", "0.34,0.33,0.33"],
    "distill": ["--outer-steps", "50", "--batch", "240", "--seed", "2"],
    "release": ["--at-chance"],  # two steps teach nothing
}


def commands(page):
    """The ``gdshare`` lines of a page's indented blocks."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.strip().split("    #")[0] for line in text.splitlines() if line[:4] == "    ")
    return [shlex.split(line)[1:] for line in lines if line.startswith("gdshare ")]


KEY_LINE = re.compile(r"    [a-z-]+ = \"[^\"]*\"")


def examples(page):
    """Every ``gdshare.toml`` that a page shows: blocks of nothing but keys with a text."""
    lines = page.read_text(encoding="utf-8").splitlines()
    blocks = [
        list(block)
        for is_key, block in groupby(lines, lambda line: bool(KEY_LINE.fullmatch(line)))
        if is_key
    ]
    return ["\n".join(line.strip() for line in block) for block in blocks if len(block) > 2]


def settings(text, folder):
    """What the commands below a page's ``gdshare.toml`` take from it."""
    path = folder / NAME
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return read_values(path)


HOSPITALS, OFFICERS = examples(ROOT / "docs" / "guide-site.md")
[AGGREGATORS] = examples(ROOT / "docs" / "guide-aggregator.md")
FILE_OF = {
    "README.md": HOSPITALS,
    "guide-site.md": HOSPITALS,
    "guide-officer.md": OFFICERS,
    "guide-aggregator.md": AGGREGATORS,
    "guide-node.md": HOSPITALS,
}
"""Page -> the ``gdshare.toml`` that its commands go by."""

SHOWN = [
    pytest.param(page, words, id=f"{page.name}: {' '.join(words)[:60]}")
    for page in PAGES
    for words in commands(page)
    if "COMMAND" not in words
]


@pytest.mark.parametrize(("page", "words"), SHOWN)
def test_documented_command_is_one_the_program_takes(page, words, tmp_path):
    command = typer.main.get_command(build_app(words[0]))
    values = settings(FILE_OF.get(page.name, ""), tmp_path)
    defaults = with_defaults(command, Config(None, values))
    with command.make_context("gdshare", list(words), default_map=defaults) as context:
        while isinstance(context.command, click.Group):
            name, chosen, rest = context.command.resolve_command(context, _left(context))
            context = chosen.make_context(name, rest, parent=context)  # noqa: PLW2901


def _left(context):
    return [*context._protected_args, *context.args]


@pytest.mark.parametrize(
    ("shown", "role", "name"),
    [(HOSPITALS, "hospital", "st-mary"), (AGGREGATORS, "aggregator", "tokyo")],
    ids=["hospital", "aggregator"],
)
def test_file_that_a_guide_shows_is_the_one_that_the_command_writes(shown, role, name, tmp_path):
    assert settings(shown, tmp_path) == settings(new_config(role, name).decode(), tmp_path)


def test_there_are_commands_to_check():
    assert len(SHOWN) >= 12


def _told(word, folder, command):
    """What a person puts in the place of a word."""
    if word == "$DIGEST" and command == "policy":
        path = folder / "next.toml"
        return policy_digest(parse_policy(path.read_bytes(), path))[:16]
    if word == "FILM":
        return _held(folder / "store")
    if word == "$DIGEST":
        page = (folder / "prepared" / "review.html").read_text(encoding="utf-8")
        return page.split("Digest of all: <code>")[1][:16]
    return word


def _held(store):
    """A film that waits for a review."""
    return next(film.film for film in open_store(store).films() if film.state == "held")


def _name_approver(folder):
    """The policy of the guide, with the officer's own fingerprint."""
    text = (ROOT / "docs" / "guide-site.md").read_text(encoding="utf-8")
    lines = text[text.index("    [bundle]") :].split("\n\n")[0].splitlines()
    told = fingerprint(load_public_key(folder / "officer-keys" / "officer.pub"))
    rules = "\n".join(line.strip() for line in lines).replace("9f86...d1", told)
    for name in ("membership-bundle/1", "nearest-ratio/1"):  # twenty patients: wide intervals
        bound = f'"{name}" = {STANDARD_BOUNDS[name].highest}'
        assert bound in rules
        rules = rules.replace(bound, f'"{name}" = 1.0')
    (folder / "outbox-policy.toml").write_text(rules, encoding="utf-8")
    (folder / "next.toml").write_text(rules.replace("days = 730", "days = 400"), encoding="utf-8")


def test_hospitals_guide_leads_from_films_to_a_released_bundle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "a passphrase for the test")
    write_textured_films(tmp_path / "films", patients=60)
    (tmp_path / "dicom").mkdir()
    for number in range(3):
        save(radiograph(gradient(rows=96, columns=500)), tmp_path / "dicom" / f"{number}.dcm")
    walked = []
    for words in commands(ROOT / "docs" / "guide-site.md"):
        if words[0] in ("classify", "evaluate", "train") or words[:2] == ["ledger", "receive"]:
            continue  # these need the round's model or receipt, or minutes
        if words[0] == "exposure" or "--despite" in words:
            continue  # tests/hospital_node/test_exposure.py and tests/release/test_override.py do
        if words[0] == "consent" or "--announcement" in words:
            continue  # tests/release/test_consent.py and distill/test_shared_model.py do
        if words[0] == "withdraw":
            assert "--dry-run" not in words or (tmp_path / "outbox/st-mary-1/bundle.sig").exists()
        if "--dicomweb" in words:
            continue  # tests/cli/test_import_command.py asks a real PACS
        told = [_told(word, tmp_path, words[0]) for word in words]
        gdshare(*told, *SMALL.get(words[0], []), check=True)
        walked.append(words[0])
        if "officer" in words:
            _name_approver(tmp_path)
    assert walked == [
        *(
            "config",
            "next",
            "import",
            *["review"] * 4,
            "label",
            *["distill"] * 2,
            "audit",
            *["keys"] * 5,
        ),
        *["policy"] * 4,
        *("prepare", "approve", "release", "release", "assessment", "withdraw", "withdraw"),
    ]
    assert [path.name for path in (tmp_path / "outbox").iterdir()] == ["st-mary-1.withdrawal"]
