"""The draft of an impact assessment: filled in from what would leave, and nothing invented."""

import json
import re
from pathlib import Path

import pytest
from audit_kit import write_attacks
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from desk_kit import Desk
from private_run_kit import give_guarantee

from gdshare.bundle.attacks import Attack
from gdshare.distill.run_folder import read_result


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    return Desk(tmp_path)


def draft(desk: Desk, name: str = "draft.md") -> str:
    out = desk.folder / name
    words = ("assessment", desk.prepared, "--outbox", desk.outbox, "--out", out)
    gdshare(*words, check=True)
    return out.read_text(encoding="utf-8")


def test_draft_says_what_leaves_what_was_tried_and_what_was_not(desk: Desk) -> None:
    found = Attack(name="membership-loss/1", figure=0.65, low=0.6, high=0.8, unrelated=0.5)
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), (found,))
    desk.prepare()
    text = draft(desk)
    assert desk.shown() in text
    assert "3 images of 16 x 16 pixels" in text
    assert "20 without the finding, 21 with it" in text
    assert "| membership-loss/1 | 0.650 (0.600 to 0.800; 0.500 where nothing is known) |" in text
    assert "| nearest-patch/1 | NOT tried, or its control did not fire | none |" in text
    assert "Nothing is proven about any single patient" in text
    assert "Nobody signed the audit: its figures are the word of whoever ran it." in text
    assert "on the hospital's own validation patients: patch score" in text
    assert "anonym" not in text
    assert "1 needed, 0 given" in text
    assert "${" not in text


def test_guarantee_of_the_bundle_stands_in_the_draft_with_what_is_outside(desk: Desk) -> None:
    give_guarantee(desk.folder / "run")
    desk.prepare()
    text = draft(desk)
    assert "Proven is (ε 7.998, δ 1e-05)-differential privacy of each training patient" in text
    assert "Outside the guarantee are: which patients were chosen" in text
    assert "about 20 (noisy) without the finding, about 21 (noisy) with it" in text
    assert "| membership-loss/1 | not published, with a guarantee |" in text
    assert "No figure of an attack would leave." in text
    assert "on surrogates drawn from the noisy statistic, not on patients: patch score" in text
    assert "| differential privacy | kept: ε 7.998, δ 1e-05 (not demanded) |" in text
    assert "Nothing is proven" not in text
    assert "own validation patients" not in text


def test_only_the_hospital_fills_the_brackets(desk: Desk) -> None:
    desk.prepare()
    text = draft(desk)
    for subject in ("Article 6", "data-protection officer", "Decision, name, date"):
        assert re.search(rf"{subject}[^\n]*\[|\[[^\]]*{subject}", text), subject
    words = ("--outbox", desk.outbox, "--out", desk.folder / "b.md", "--json")
    ended = gdshare("assessment", desk.prepared, *words, check=True)
    assert json.loads(ended.out)["to_fill_in"] == text.count("[")


def test_approvals_and_overrides_are_named(desk: Desk) -> None:
    desk.rule(1, ("officer", "head"), '[attacks]\n"membership-loss/1" = 0.7\n')
    found = Attack(name="membership-loss/1", figure=0.65, low=0.6, high=0.8, unrelated=0.5)
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), (found,))
    desk.prepare()
    words = ("--key", desk.key("officer"), "--outbox", desk.outbox, "--by", "Dr. Sato | board")
    why = ("--despite", "agreed | on 1 May")
    typed = ("--digest", desk.shown()[:16])
    gdshare("approve", desk.prepared, *words, *typed, *why, check=True)
    text = draft(desk)
    assert "upper end 0.700 at most, NOT kept |" in text
    assert "1 needed, 1 given; Dr. Sato / board" in text
    [row] = [line for line in text.splitlines() if "overridden" in line]
    assert "agreed / on 1 May (Dr. Sato / board)" in row
    assert row.count("|") == 3


def test_purpose_of_the_policy_is_shown_as_text_and_neither_row_link_nor_gap(desk: Desk) -> None:
    desk.prepare()
    gaps = draft(desk, "before.md").count("[")
    purpose = "| kept | [look](https://x.example) <img src=y> `z`"
    desk.rule(1, ("officer", "head"), f'[bundle]\npurpose = "{purpose}"\n')
    desk.prepared = desk.folder / "prepared-2"
    desk.prepare()
    text = draft(desk)
    row = "| purpose | / kept / (look)(https://x.example) &lt;img src=y&gt; 'z' |"
    assert row in text.splitlines()
    assert all(line.count("|") in (3, 5) for line in text.splitlines() if line.startswith("|"))
    assert text.count("[") == gaps


def test_introduction_is_no_gap(desk: Desk) -> None:
    desk.prepare()
    introduction = draft(desk).split("## 1.")[0]
    assert "square brackets" in introduction
    assert "[" not in introduction


def test_what_somebody_has_written_is_not_overwritten(desk: Desk) -> None:
    desk.prepare()
    draft(desk)
    words = ("--outbox", desk.outbox, "--out", desk.folder / "draft.md")
    ended = gdshare("assessment", desk.prepared, *words)
    assert (ended.status, "is there already" in ended.err) == (2, True)


def test_page_that_was_changed_is_not_assessed(desk: Desk) -> None:
    desk.prepare()
    (desk.prepared / "review.html").write_text("all is well", encoding="utf-8")
    words = ("--outbox", desk.outbox, "--out", desk.folder / "draft.md")
    assert gdshare("assessment", desk.prepared, *words).status == 3
    assert not (desk.folder / "draft.md").exists()
