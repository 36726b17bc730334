import subprocess
import sys
from pathlib import Path

import pytest

from examples.tb_cxr.__main__ import HOSPITALS, plan
from gdshare.cohort import label_cohort, open_cohort
from gdshare.method import Settings

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT.parent / "shared" / "data" / "tb_cxr"

needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the real chest X-rays are not on this machine ({DATA})"
)


def test_the_example_is_the_defaults_on_the_sources_geometry_scaled():
    trial = plan(DATA, 450, 0)
    assert (trial.protocol.patch, trial.protocol.stride) == (75, 13)
    assert trial.baseline.per_class * 3 == 3000
    assert trial.settings == Settings(outer_steps=450)
    assert trial.baseline.network == "resnet18"


@needs_data
def test_every_real_film_is_read_and_cut(tmp_path):
    trial = plan(DATA, 1, 0)
    found = {}
    for hospital in trial.hospitals:
        index = label_cohort(
            hospital.table, tmp_path / hospital.name, trial.protocol, trial.split, 0
        )
        assert all(min(c.i, c.n, c.p) > 0 for c in index.counts.values())
        found[hospital.name] = len(open_cohort(tmp_path / hospital.name).films)
    assert found == dict(zip(HOSPITALS, (138, 170, 170), strict=True))


def test_missing_data_is_told_in_one_sentence(tmp_path):
    command = [sys.executable, "-m", "examples.tb_cxr", "--data", "nowhere"]
    run = subprocess.run(
        [*command, "--out", str(tmp_path / "t")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert run.returncode != 0
    assert "nowhere/montgomery/labels.csv: no such table" in run.stderr
    assert "Traceback" not in run.stderr
