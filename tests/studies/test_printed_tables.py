"""The tables of the results pages come out of the archive byte for byte as they were printed."""

import hashlib
from pathlib import Path

import pytest

from studies import options
from studies.command import main
from studies.hospitals import NAMES, Hospital, real_hospital
from studies.quality.plan import FULL
from studies.quality.report import Reader
from studies.quality.schedule import cells_of
from studies.runner import Store

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE, GOLDEN = ROOT / "studies" / "archive", Path(__file__).with_name("golden")
DATA = ROOT.parent / "shared" / "data"

# Hospital -> SHA-256 of its table of films, and its patients.
HOSPITALS = {
    "montgomery": ("bab7703b2d6bce285522eba66838d1620473247120dbbd2ac9ad6357a69e222c", 138),
    "shenzhen-a": ("0f6340e0a689407ae26a52bd20c2cf76a46b183bf66fe6a18966bc7dce7d4bd7", 170),
    "shenzhen-b": ("91729705eeb90bb2f62e422aa62233413c4bb1e49a4c8220ce80a35d350afe58", 170),
}


ANSWERS = {
    "claim": "AUC 0.81 on all test films. 3000 real, ResNet18 better norm: 0.77",
    "gain": "a hospital reaches AUC 0.79 if it",
    "rivals": "reach AUC 0.81 in 12,528 bytes; more is reached by linear head on scattering",
}
"""Study -> a part of the sentence that its page begins with."""


def stand_in(folder, name):
    """A hospital with made-up diagnoses: the real ones are not kept with the project."""
    digest, patients = HOSPITALS[name]
    table = folder / f"{name}.csv"
    lines = ["patient,image,mask,diagnosis"]
    for number in range(patients):
        positive = hashlib.sha256(f"{name} {number}".encode()).digest()[0] % 2
        lines.append(f"{number:04d},{number}.png,,{'positive' if positive else 'negative'}")
    table.write_text("\n".join(lines) + "\n")
    return Hospital(name, table, digest)


def same(text, name):
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_quality_with_stand_in_diagnoses(tmp_path):
    hospitals = [stand_in(tmp_path, name) for name in NAMES]
    cells = cells_of(FULL, hospitals)
    results = Store("quality", tmp_path, ARCHIVE).results(cells)
    assert len(results) == 66
    same(Reader(FULL, hospitals, results).report(cells).text + "\n", "quality-stand-in.txt")


@pytest.mark.skipif(not DATA.exists(), reason=f"needs the real diagnoses: {DATA}")
def test_quality(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert {name: real_hospital(DATA, name).digest for name in NAMES} == {
        name: digest for name, (digest, _) in HOSPITALS.items()
    }
    main(["quality", "--archive", str(ARCHIVE), "--only", "report", "--out", str(tmp_path)])
    same(capsys.readouterr().out, "quality.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.skipif(not DATA.exists(), reason=f"needs the real diagnoses: {DATA}")
@pytest.mark.parametrize("study", ["claim", "gain", "harmonised", "rivals", "source"])
def test_a_study_of_films(tmp_path, capsys, monkeypatch, study):
    monkeypatch.chdir(ROOT)
    main([study, "--archive", str(ARCHIVE), "--only", "report", "--out", str(tmp_path)])
    same(capsys.readouterr().out, f"{study}.txt")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ANSWERS.get(study, "Its tables are below.") in html
    assert ("<svg" in html) == (study in ("gain", "rivals"))


def test_options(tmp_path):
    hospital = stand_in(tmp_path, "shenzhen-a")
    cells = options.cells_of(options.FULL, hospital, 2)
    results = Store("options", tmp_path, ARCHIVE).results(cells)
    same(f"{options.table_of(options.FULL, 2, results)}\n", "options.txt")
