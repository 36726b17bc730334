import json
import subprocess
import sys

import pytest
import torch
from command_kit import gdshare
from film_kit import PROTOCOL, write_films

from gdshare.cli.distill import _without_seed
from gdshare.cli.distill_settings import read_settings
from gdshare.cli.main import OWN_COMMANDS
from gdshare.errors import UsageError
from gdshare.method import Settings
from gdshare.model import Model, save_model
from gdshare.networks import build, draw


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


LABEL = ("--patch", 16, "--stride", 8, "--side", 16, "--split", "0.34,0.33,0.33")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cohort labelled by the command, and an untrained model."""
    folder = tmp_path_factory.mktemp("commands")
    table = write_films(folder / "films")
    gdshare("label", table, "--out", folder / "cohort", *LABEL, check=True)
    parameters = draw("convnet", build("convnet", 16), torch.Generator().manual_seed(0))
    save_model(folder / "model", Model("convnet", PROTOCOL, (parameters,)), {"threshold": 0.4})
    return folder


def test_help_names_every_command():
    text = gdshare("--help").out
    assert all(name in text for name in (*OWN_COMMANDS, "aggregate", "demo"))


def test_help_does_not_wait_for_torch():
    probe = """if True:
        import sys
        from gdshare.cli.main import build_app
        build_app()
        print("torch" in sys.modules)
    """
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", probe], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


def test_label_warns_of_films_of_different_size_on_the_patient(tmp_path):
    table = write_films(tmp_path / "films")
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    sizes = [f"{line},0.{1 + number % 2}" for number, line in enumerate(lines)]
    table.write_text("\n".join([f"{head},spacing_mm", *sizes]) + "\n", encoding="utf-8")
    warning = gdshare("label", table, "--out", tmp_path / "c", *LABEL).err
    assert "covers from 1.6 to 3.2 mm" in warning
    assert "--resample-mm" in warning
    again = gdshare("label", table, "--out", tmp_path / "d", *LABEL, "--resample-mm", "0.2").err
    assert "covers from" not in again


def test_label_prints_counts_as_a_table_and_as_json(folder, tmp_path):
    table = folder / "films" / "labels.csv"
    counts = json.loads(gdshare("label", table, "--out", tmp_path / "c", *LABEL, "--json").out)
    assert counts["train"]["films"] + counts["val"]["films"] + counts["test"]["films"] == 12
    text = gdshare("label", table, "--out", tmp_path / "d", *LABEL).out
    for split in ("train", "val", "test"):
        line = next(x for x in text.splitlines() if f" {split} " in x)
        assert str(counts[split]["discarded"]) in line


def test_distill_classify_and_evaluate_agree_on_their_files(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    knobs = ("--network", "convnet", "--outer-steps", 4, "--score-every", 2, "--score-inits", 2)
    run = gdshare(
        "distill", folder / "cohort", "--out", tmp_path / "run", *knobs, "--json", "--device", "cpu"
    )
    result = json.loads(run.out)
    assert result["inits"] == 2
    assert (tmp_path / "run" / "preview.png").exists()
    assert "\r" not in run.err, "no bar in a pipe"
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["seed"] > 2**32, "drawn at random by default"
    assert record["settings"]["precision"] == "bfloat16", "as fits the machine"
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # resumed on another machine
    words = ("distill", folder / "cohort", "--out", tmp_path / "run", "--resume", "--json")
    assert json.loads(gdshare(*words).out) == result, "resumes without repeating the options"
    refused = gdshare(*words, "--batch", 12)
    assert "batch 24 -> 12" in refused.err
    verdicts = json.loads(
        gdshare("classify", folder / "model", folder / "films/1.png", "--json").out
    )
    assert verdicts[0]["threshold"] == 0.4
    assert sum(verdicts[0]["votes"].values()) == 49
    evaluated = json.loads(gdshare("evaluate", folder / "model", folder / "cohort", "--json").out)
    assert evaluated["threshold_from"] == "the model's own"
    assert sum(evaluated["counts"][k] for k in ("tp", "fn", "tn", "fp")) == 4
    assert "source: soft-label" in gdshare("evaluate", folder / "model", folder / "cohort").out
    page = tmp_path / "report.html"
    gdshare("evaluate", folder / "model", folder / "cohort", "--report", page, check=True)
    html = page.read_text(encoding="utf-8")
    assert "This page shows films: it stays in the hospital" in html
    assert 2 <= html.count("data:image/jpeg") <= 6
    assert f"gdshare evaluate {folder / 'model'} {folder / 'cohort'} --split test" in html


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["label", "none.csv", "--out", "x"], "none.csv: no such table"),
        (["label", "none.csv", "--out", "x", "--split", "1,2"], "--split 1,2: not three numbers"),
        (["label", "none.csv", "--out", "x", "--patch", "0"], "--patch: Input should be"),
        (["distill", "none", "--out", "x"], "none: not a cohort"),
        (["distill", "none", "--out", "x", "--batch", "1"], "batch: Input should be"),
        (["distill", "none", "--out", "x", "--config", "no.toml"], "no.toml: cannot be read"),
        (["classify", "none", "film.png"], "none: not a model"),
        (["evaluate", "none", "none"], "none: not a model"),
        (["train", "none", "--out", "x"], "none: not a cohort"),
    ],
)
def test_refusal_is_one_sentence_on_stderr_with_status_2(words, message):
    run = gdshare(*words)
    assert run.status == 2
    assert run.err.startswith(f"gdshare: {message}")
    assert run.err.count("\n") == 1
    assert run.out == ""


def test_debug_shows_the_traceback():
    run = gdshare("classify", "none", "film.png", "--debug")
    assert run.status == 2
    assert "Traceback" in run.err
    assert "gdshare: none: not a model" in run.err


def test_unknown_option_is_refused_with_status_2():
    assert gdshare("label", "--nonsense").status == 2


def test_every_setting_of_algorithm_1_is_an_option_that_names_its_source():
    text = " ".join(gdshare("distill", "--help").out.split())
    for name in ("images", "epochs", "steps", "outer-steps", "batch", "outer-rate", "label-scale"):
        assert f"--{name} " in text
    for name, field in Settings.model_fields.items():
        assert field.description, name
    knobs = ("images", "epochs", "steps", "outer_steps", "batch", "outer_rate", "label_scale")
    assert all("Source: " in str(Settings.model_fields[name].description) for name in knobs)


def test_options_override_the_file_and_the_file_the_defaults(tmp_path):
    config = tmp_path / "knobs.toml"
    config.write_text('network = "convnet"\nbatch = 12\n', encoding="utf-8")
    settings = read_settings(config, {"batch": 15}, Settings())
    assert (settings.network, settings.batch, settings.epochs) == ("convnet", 15, 1)


@pytest.mark.parametrize("text", ["batc = 12", "batch = '12'", "batch = [", "sets = 2"])
def test_mistake_in_the_file_is_refused(tmp_path, text):
    config = tmp_path / "knobs.toml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"knobs\.toml"):
        read_settings(config, {}, Settings())


def test_conflicting_values_are_attributed_to_file_and_options(tmp_path):
    config = tmp_path / "knobs.toml"
    config.write_text('network = "convnet"\nsets = 3', encoding="utf-8")
    with pytest.raises(UsageError, match=r"knobs\.toml with the options given: 3 sets for 2 steps"):
        read_settings(config, {"steps": 2}, Settings())


@pytest.mark.parametrize(
    "words", [["--seed", "77", "--draws", "2"], ["--seed=77", "--draws", "2"], ["--draws", "2"]]
)
def test_seed_is_not_on_a_workers_command_line(words):
    assert _without_seed(["distill", "cohort", *words]) == ["distill", "cohort", "--draws", "2"]
