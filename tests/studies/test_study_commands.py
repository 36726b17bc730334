import json
import sys

import pytest

from studies import command
from studies.command import main


def test_a_study_is_foretold_done_in_part_reported_and_kept(tmp_path, capsys, monkeypatch):
    out, archive, figures = tmp_path / "out", tmp_path / "archive", tmp_path / "figures.json"
    words = ["pneumonia", "--quick", "--seeds", "1", "--out", str(out), "--archive", str(archive)]
    monkeypatch.setattr(sys, "argv", ["studies", *words, "--json", str(figures)])
    main([*words, "--forecast"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("pneumonia: 5 of 5 cells left")
    main([*words, "--only", "distil"])
    assert capsys.readouterr().out == ""
    assert set(json.loads((archive / "pneumonia.json").read_text())["cells"]) == {
        "images",
        "distil-0",
    }
    with pytest.raises(SystemExit, match="not done; do it by the same command without --only"):
        main([*words, "--only", "report"])
    main([*words, "--json", str(figures)])
    printed = capsys.readouterr().out
    assert "Target: two distilled images" in printed
    told = json.loads(figures.read_text())
    assert {"date", "versions", "plan", "tables"} <= set(told)
    assert told["command"].startswith("python -m studies pneumonia --quick")
    main(
        [*words[:-4], "--out", str(tmp_path / "new"), "--archive", str(archive), "--only", "report"]
    )
    assert capsys.readouterr().out == printed


def test_a_file_of_figures_is_not_promised_where_none_are_worked_out(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["quality", "--only", "cohorts", "--json", str(tmp_path / "figures.json")])
    assert "nothing for --json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "films"], "--only films: choose from images, distil, real, judge, report"),
        (["--seeds", "0"], "--seeds 0: there must be one or more"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_done(words, told, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["pneumonia", "--quick", "--out", str(tmp_path / "out"), *words])
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_study_and_missing_films_end_in_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["no-such-study"])
    told = capsys.readouterr().err
    assert all(name in told for name in command.NAMES)
    with pytest.raises(SystemExit, match="--data"):
        main(["quality", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", command.NAMES)
def test_every_study_has_a_command_line_with_the_common_options(name, capsys):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--quick", "--json", "--data", "--out", "--archive", "--only", "--forecast"):
        assert option in shown
