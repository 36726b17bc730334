import json
import multiprocessing
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.command import write_figures
from benchmarks.engine.__main__ import NAME, command_line, speeds
from benchmarks.engine.speed import (
    Speed,
    SpeedScale,
    forward_flops,
    other_precision,
    outer_step_flops,
)
from benchmarks.engine.worker import Job, Report, engine_for, obey, peak, resident, worker
from gdshare.errors import RunError, UsageError
from gdshare.networks import build

TINY = SpeedScale(Job(network="convnet", side=8, batch=3, steps=2), more_steps=3, rounds=2)

PROMISED = {
    "speedup_vs_ssnl",
    "memory_ratio_vs_ssnl",
    "memory_growth_per_step_bytes",
    "weight_bytes",
    "gemm_gflops",
    "rivals",
    "versions",
    "date",
    "command",
    "stand_in",
}


@contextmanager
def here(job):
    """A worker in this process: quicker to start, and its memory means nothing."""
    engine, before = engine_for(job), resident()
    try:
        yield lambda order: obey(order, engine, before)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture
def gemm(monkeypatch):
    monkeypatch.setattr("benchmarks.engine.speed.gemm_gflops", lambda: 50.0)


def test_the_json_holds_what_is_promised(tmp_path, capsys, gemm):
    figures = speeds(TINY, None, start=here)
    write_figures(tmp_path / "figures.json", NAME, figures)
    read = json.loads((tmp_path / "figures.json").read_text())
    assert set(read) >= PROMISED
    assert read["stand_in"] == "recipe"
    assert set(read["rivals"]) == {"recipe", "graph", "ours", other_precision("convnet")}
    assert all(len(rival["cpu_seconds"]) == 2 for rival in read["rivals"].values())
    assert "1x is recipe" in capsys.readouterr().out


@pytest.mark.parametrize(("fits", "timed"), [("float32", False), ("bfloat16", True)])
def test_a_quick_run_does_not_wait_for_an_emulated_precision(fits, timed, monkeypatch, gemm):
    monkeypatch.setattr("benchmarks.engine.speed.fastest_precision", lambda network, device: fits)
    rivals = speeds(replace(TINY, every_rival=False), None, here)["rivals"]
    assert (set(rivals) == {"recipe", "graph", "ours"}) is not timed
    assert len(rivals) == 3 + timed


def test_ratios_are_theirs_over_ours_in_time_and_ours_over_theirs_in_memory():
    rivals = {
        "ssnl": [Report(seconds, 1.0, 300) for seconds in (4.0, 8.0, 6.0)],
        "ours": [Report(seconds, 1.0, 30) for seconds in (2.0, 2.0, 3.0)],
    }
    scale = SpeedScale(Job(steps=9), more_steps=27)
    speed = Speed(scale, "ssnl", rivals, 30 + 18 * 7, 100, flops=12 * 10**9, gemm=12.0)
    figures = speed.figures()
    assert figures["speedup_vs_ssnl"] == 3.0
    assert (figures["speedup_vs_ssnl_low"], figures["speedup_vs_ssnl_high"]) == (2.0, 4.0)
    assert figures["memory_ratio_vs_ssnl"] == pytest.approx(0.1)
    assert figures["memory_growth_per_step_bytes"] == 7
    assert speed.of_gemm("ours") == pytest.approx(0.5)


def test_a_worker_reports_steps_and_the_memory_they_needed():
    with worker(Job(rival="recipe", network="convnet", side=32, steps=2)) as do:
        reports = [do("step") for _ in range(2)]
        images, rates = do("gradient").gradient
    activations = 64 * 128 * 32 * 32 * 4  # of the first layer alone
    assert reports[-1].added_bytes > activations
    assert all(0 < report.cpu_seconds < 60 and report.loss > 0 for report in reports)
    assert (images.shape, rates.shape) == ((3, 1, 32, 32), (2,))


def test_a_rival_that_cannot_start_says_why():
    job = Job(rival="ssnl", network="convnet", side=8, batch=3, steps=2)
    with pytest.raises(UsageError, match="needs a checkout"), worker(job):
        pass


def test_a_rival_whose_process_dies_is_named():
    with worker(Job(rival="recipe", network="convnet", side=8, batch=3, steps=2)) as do:
        [process] = multiprocessing.active_children()
        process.kill()
        with pytest.raises(RunError, match="rival recipe: its process ended"):
            do("step")


def test_peak_memory_sees_what_was_freed_again():
    before = resident()
    block = torch.ones(8_000_000)
    del block
    assert peak() - before >= 30_000_000  # of 32: some was free in the process already


def test_operations_are_counted_from_shapes():
    with torch.device("meta"):
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        )
    assert forward_flops(module, 4) == 2 * (4 * 16 * 9 + 64 * 3)
    assert forward_flops(build("resnet18", 64), 64) == pytest.approx(0.283e9, rel=0.01)
    assert outer_step_flops(10, images=3, steps=9, batch=64) == 10 * (9 * 27 + 3 * 64)


def test_the_command_line_has_the_promised_options():
    paths = {"--json": "a", "--ssnl": "b", "--data": "c", "--out": "d"}
    chosen = command_line().parse_args(
        ["--quick", *(part for pair in paths.items() for part in pair)]
    )
    assert chosen.quick
    assert [str(vars(chosen)[name[2:]]) for name in paths] == list(paths.values())
