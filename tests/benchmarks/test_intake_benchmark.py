import json
import sys

import pytest

from benchmarks import intake


def test_quickest_run_gives_a_line_an_encoding_and_the_same_as_data(tmp_path, monkeypatch, capsys):
    out = tmp_path / "figures.json"
    words = ["intake", "--films", "3", "--side", "64", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    intake.main()
    figures = json.loads(out.read_text())
    assert [line["encoding"] for line in figures["encodings"]] == list(intake.ENCODINGS)
    for line in figures["encodings"]:
        assert line["films"] == 3
        assert line["ratio"] == pytest.approx(line["importing"] / line["decoding"])
    shown = capsys.readouterr().out
    assert all(encoding in shown for encoding in intake.ENCODINGS)
