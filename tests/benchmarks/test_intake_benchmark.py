import json
import sys

from benchmarks import intake


def test_quickest_run_gives_a_line_an_encoding_and_the_same_as_data(tmp_path, monkeypatch, capsys):
    out = tmp_path / "figures.json"
    words = ["intake", "--films", "3", "--side", "64", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    intake.main()
    figures = json.loads(out.read_text())
    assert [line["encoding"] for line in figures["encodings"]] == list(intake.ENCODINGS)
    assert all(line["ratio"] > 0 and line["films"] == 3 for line in figures["encodings"])
    shown = capsys.readouterr().out
    assert all(encoding in shown for encoding in intake.ENCODINGS)


def test_ratio_is_imports_speed_as_a_part_of_decodings():
    assert intake.Line("JPEG-LS", 10, 4.0, 3.0, 1.0, 1.0).ratio == 0.75
