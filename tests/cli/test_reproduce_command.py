"""``gdshare reproduce``: which studies there are, and their tables from the archive."""

import json
from pathlib import Path

import pytest
from command_kit import gdshare

from gdshare.cli import reproduce
from gdshare.cli.exit_status import USAGE
from gdshare.metrics import SOURCE_TABLE

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
REAL = pytest.mark.skipif(not DATA.exists(), reason=f"needs the real diagnoses: {DATA}")


def test_without_a_name_it_lists_the_studies_that_have_an_archive():
    lines = gdshare("reproduce").out.splitlines()
    names = [path.stem for path in (ROOT / "studies" / "archive").glob("*.json")]
    assert [line.split()[0] for line in lines] == sorted(names)
    assert "claim       Do three images a hospital teach as much as its films?" in lines
    listed = json.loads(gdshare("reproduce", "--json").out)["studies"]
    assert list(listed) == sorted(names)
    assert all(listed.values())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("no-such",), "is no study that has an archive; choose from attacks, "),
        (("claim", "--data", ROOT), "holds no tb_cxr"),
    ],
)
def test_a_wrong_word_is_told_in_one_sentence(words, told):
    ended = gdshare("reproduce", *words)
    assert ended.status == USAGE
    assert told in ended.err
    assert ended.out == ""


def test_where_only_the_package_is_installed_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "CHECKOUT", tmp_path)
    for words in ((), ("claim",)):
        ended = gdshare("reproduce", *words)
        assert (ended.status, ended.out) == (USAGE, "")
        assert "the studies are not part of the installed package; get gdshare's" in ended.err


@REAL
def test_tables_come_from_the_archive_and_the_sources_own_stand_behind(tmp_path):
    printed = gdshare("reproduce", "options", "--data", DATA).out
    golden = (ROOT / "tests" / "studies" / "golden" / "options.txt").read_text(encoding="utf-8")
    assert printed.startswith(golden)
    behind = printed.removeprefix(golden)
    assert reproduce.SOURCE in behind
    assert all(f"{own[-1]:.3f}" in behind for own in SOURCE_TABLE)


@REAL
def test_json_has_the_figures_of_both():
    told = json.loads(gdshare("reproduce", "options", "--data", DATA, "--json").out)
    assert told["study"] == "options"
    assert len(told["tables"][0]["rows"]) == 14
    assert [row["HM"] for row in told["source"]["rows"]] == [own[-1] for own in SOURCE_TABLE]
    assert told["source"]["title"] == reproduce.SOURCE


@REAL
def test_what_a_study_refuses_is_told_as_it_says_it(tmp_path):
    table = tmp_path / "tb_cxr" / "shenzhen-a" / "labels.csv"
    table.parent.mkdir(parents=True)
    table.write_text("patient,image,mask,diagnosis\n")
    ended = gdshare("reproduce", "options", "--data", tmp_path)
    assert ended.status == USAGE
    assert "computed with other parameters" in ended.err
