"""``gdshare distill --epsilon``: where the guarantee may be given, and what it refuses."""

import pytest
from film_kit import small_cohort

from gdshare.cli.distill_settings import read_budget
from gdshare.cli.main import main
from gdshare.errors import UsageError
from gdshare.private.account import DEFAULT_DELTA, Budget


def config(folder, text):
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_the_command_line_overrides_the_table_of_the_file(tmp_path):
    path = config(tmp_path, 'images = 9\n[privacy]\nepsilon = 3\ndelta = 1e-6\nunit = "patient"\n')
    assert read_budget(path, None, None) == Budget(3.0, 1e-6)
    assert read_budget(path, 8.0, None) == Budget(8.0, 1e-6)
    assert read_budget(None, 1.0, None) == Budget(1.0, DEFAULT_DELTA)
    assert read_budget(config(tmp_path, "images = 9\n"), None, None) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("privacy = 8\n", "privacy"),
        ("[privacy]\nepsilon = 8\nunit = 'patch'\n", "privacy.unit"),
        ("[privacy]\nepsilon = 8\nnoise = 1\n", "privacy"),
        ("[privacy]\nepsilon = true\n", "privacy.epsilon"),
        ("[privacy]\nepsilon = 'eight'\n", "privacy.epsilon"),
        ("[privacy]\nepsilon = -1.0\n", "--epsilon"),
        ("[privacy]\ndelta = 1e-6\n", "--delta"),
    ],
)
def test_a_guarantee_that_is_none_is_refused(tmp_path, text, named):
    with pytest.raises(UsageError) as refusal:
        read_budget(config(tmp_path, text), None, None)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    "words", [["--batch", "24"], ["--feature-patches", "9"], ["--workers", "2"], ["--tensorboard"]]
)
def test_what_a_guarantee_would_pass_over_is_refused(tmp_path, capsys, words):
    pytest.importorskip("dp_accounting", reason="the extra privacy is not installed")
    cohort = small_cohort(tmp_path).path
    with pytest.raises(SystemExit) as end:
        main(["distill", str(cohort), "--out", str(tmp_path / "run"), "--epsilon", "8", *words])
    assert end.value.code == 2
    assert f"{words[0]}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_command_refuses_an_epsilon_out_of_range(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["distill", str(tmp_path), "--out", str(tmp_path / "run"), "--epsilon", "0"])
    assert end.value.code == 2
    assert "ε must be above 0" in capsys.readouterr().err
