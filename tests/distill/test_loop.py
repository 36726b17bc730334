"""Whole runs: what decides their bytes, how they are interrupted and gone on with, how they end."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from film_kit import small_cohort, write_films
from PIL import Image

from gdshare.cohort import label_cohort, open_cohort
from gdshare.distill import loop
from gdshare.distill.folder import read_record, read_result
from gdshare.distill.loop import SKIPS_IN_A_ROW, StoppedError, distill
from gdshare.distill.score import CHANCE
from gdshare.distill.settings import Settings
from gdshare.distill.state import initial_state, initial_unknowns, load_checkpoint
from gdshare.distill.unroll import full
from gdshare.errors import CohortError, RunError, UsageError
from gdshare.protocol import Protocol

TINY = Protocol(patch=16, stride=8, side=8)
SETTINGS = Settings(
    network="convnet",
    outer_steps=12,
    score_every=5,
    score_inits=2,
    score_patches=20,
    checkpoint_every=3,
    batch=9,
    epochs=2,
    steps=2,
    inner_rate=0.02,
)
SAME = ("run.json", "metrics.jsonl", "distilled.safetensors", "checkpoint.safetensors")


class BrokenOffError(Exception):
    """What a test ends a run with, where a power cut would."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Patches of 8 px: enough for all that does not ask how well anything is learned."""
    return small_cohort(tmp_path_factory.mktemp("cohort"), protocol=TINY)


@pytest.fixture(scope="module")
def whole(cohort, tmp_path_factory):
    """A finished run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    distill(cohort, out, SETTINGS)
    return out


def settings(**changes):
    return Settings(**(SETTINGS.model_dump() | changes))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in SAME}


def metrics(folder):
    return [json.loads(one) for one in (folder / "metrics.jsonl").read_bytes().splitlines()]


def break_off_after(step):
    def progress(tick):
        if tick.step >= step:
            raise BrokenOffError

    return progress


def asked_after(calls):
    """A ``stopping`` that says yes when it is asked for the ``calls``-th time."""
    answers = iter([False] * (calls - 1) + [True])
    return lambda: next(answers)


def steps_done(folder, of=SETTINGS):
    return load_checkpoint(folder, of, TINY.side).progress.step


def test_one_seed_decides_every_byte(cohort, whole, tmp_path):
    torch.manual_seed(99)
    distill(cohort, tmp_path / "again", SETTINGS)
    assert contents(tmp_path / "again") == contents(whole)
    distill(cohort, tmp_path / "other", settings(seed=1))
    assert contents(tmp_path / "other") != contents(whole)


def test_run_broken_off_anywhere_and_resumed_ends_with_the_same_bytes(cohort, whole, tmp_path):
    for attempt, stop in enumerate((1, 4, 5, 11)):
        with pytest.raises(BrokenOffError):
            distill(
                cohort,
                tmp_path / "parts",
                SETTINGS,
                resume=attempt > 0,
                progress=break_off_after(stop),
            )
    distill(cohort, tmp_path / "parts", SETTINGS, resume=True)
    assert contents(tmp_path / "parts") == contents(whole)


@pytest.mark.parametrize(
    ("unroll", "theta0", "draws", "sets"),
    list(product(("full", "window", "greedy"), ("random", "fixed"), (1, 2), (1, 2))),
)
def test_every_kind_of_run_resumes_to_the_same_bytes(cohort, tmp_path, unroll, theta0, draws, sets):
    kind = Settings(
        network="convnet",
        unroll=unroll,
        window=1,
        theta0=theta0,
        draws=draws,
        sets=sets,
        images=3 * sets,
        epochs=1,
        steps=2,
        batch=3,
        augment="mirror",
        outer_steps=4,
        score_every=2,
        score_inits=2,
        score_patches=2,
        checkpoint_every=2,
    )
    outcome = distill(cohort, tmp_path / "whole", kind)
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "parts", kind, progress=break_off_after(3))
    again = distill(cohort, tmp_path / "parts", kind, resume=True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert again.score == outcome.score
    assert len(outcome.score.values) == (1 if theta0 == "fixed" else 2)
    assert (read_record(tmp_path / "whole").theta0_sha256 is None) == (theta0 == "random")
    updates = load_checkpoint(tmp_path / "whole", kind, TINY.side).progress.updates
    assert updates == (8 if unroll == "greedy" else 4)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gdshare.cohort import open_cohort
from gdshare.distill.loop import distill
from gdshare.distill.settings import Settings
def die(tick):
    if tick.step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
settings = Settings.model_validate_json(sys.argv[3])
distill(open_cohort(Path(sys.argv[1])), Path(sys.argv[2]), settings, progress=die)
"""


def test_run_ended_by_kill_9_and_resumed_ends_with_the_same_bytes(cohort, whole, tmp_path):
    arguments = [str(cohort.path), str(tmp_path / "parts"), SETTINGS.model_dump_json()]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "parts" / "distilled.safetensors").exists()
    distill(cohort, tmp_path / "parts", SETTINGS, resume=True)
    assert contents(tmp_path / "parts") == contents(whole)


def test_run_asked_to_stop_ends_after_the_step_it_is_in(cohort, whole, tmp_path):
    ticks = []
    with pytest.raises(StoppedError, match="stopped after step 4; go on with --resume"):
        distill(cohort, tmp_path / "run", SETTINGS, progress=ticks.append, stopping=asked_after(4))
    assert [tick.step for tick in ticks] == [1, 2, 3, 4]
    assert steps_done(tmp_path / "run") == 4, "no step is done twice"
    assert [one["step"] for one in metrics(tmp_path / "run")] == [1, 2, 3, 4]
    with pytest.raises(RunError, match="not finished"):
        read_result(tmp_path / "run")
    distill(cohort, tmp_path / "run", SETTINGS, resume=True)
    assert contents(tmp_path / "run") == contents(whole)


def test_run_asked_to_stop_in_its_last_step_is_finished(cohort, whole, tmp_path):
    distill(cohort, tmp_path / "run", SETTINGS, stopping=asked_after(SETTINGS.outer_steps))
    assert contents(tmp_path / "run") == contents(whole)


def test_finished_run_that_is_resumed_stays_as_it_is(cohort, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    ticks = []
    distill(cohort, tmp_path / "run", SETTINGS, resume=True, progress=ticks.append)
    assert contents(tmp_path / "run") == contents(whole)
    assert not ticks


def test_one_attempt_is_noted_for_each_time_the_run_was_begun(cohort, tmp_path):
    times = iter((100.0, 103.0, 200.0, 207.0))
    with pytest.raises(BrokenOffError):
        distill(
            cohort,
            tmp_path / "run",
            SETTINGS,
            progress=break_off_after(4),
            clock=lambda: next(times),
        )
    distill(cohort, tmp_path / "run", SETTINGS, resume=True, clock=lambda: next(times))
    lines = (tmp_path / "run" / "timings.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"began": 100.0, "seconds": 3.0, "from_step": 0},
        {"began": 200.0, "seconds": 7.0, "from_step": 3},
    ]


def listen_to_ctrl_c():
    """A shell's background job, as tests may be, hands down SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_says_how_to_go_on_and_leaves_with_130(cohort, tmp_path):
    command = [sys.executable, "-m", "gdshare", "distill", str(cohort.path)]
    command += ["--out", str(tmp_path / "run"), "--network", "convnet", "--device", "cpu"]
    with subprocess.Popen(
        [*command, "--outer-steps", "100000"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - no threads in this test's process
    ) as process:
        try:
            while not (tmp_path / "run" / "checkpoint.safetensors").exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said


def test_outer_loss_falls_and_three_images_beat_guessing(tmp_path):
    larger = small_cohort(tmp_path)
    outcome = distill(
        larger, tmp_path / "run", settings(outer_steps=30, score_every=10, score_inits=3, batch=24)
    )
    losses = [line["loss"] for line in metrics(tmp_path / "run") if "loss" in line]
    assert len(losses) == 30
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert outcome.score.lower > CHANCE
    assert not outcome.at_chance


def test_result_is_the_best_scored_state_and_sound(cohort, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    outcome = distill(cohort, tmp_path / "run", SETTINGS, resume=True)
    scores = {line["step"]: line["score"] for line in metrics(whole) if "score" in line}
    assert set(scores) == {5, 10, 12}
    assert scores[outcome.step] == max(scores.values())
    assert len(outcome.score.values) == 2
    result = read_result(whole)
    assert result.problem() is None
    assert result.images.shape == (3, 1, 8, 8)
    assert result.learning_rates.shape == (4,)
    assert read_record(whole).settings == SETTINGS


def test_fixed_theta0_is_the_same_at_every_step_and_named_in_the_record(cohort, tmp_path):
    bench = loop.prepare(cohort, settings(theta0="fixed", theta0_number=7, seed=1), "cpu")
    other = loop.prepare(cohort, settings(theta0="fixed", theta0_number=7, seed=2), "cpu")
    another = loop.prepare(cohort, settings(theta0="fixed", theta0_number=8), "cpu")
    first, later, elsewhere, different = (
        bench.draw(0, 0).theta0,
        bench.draw(3, 0).theta0,
        other.draw(0, 0).theta0,
        another.draw(0, 0).theta0,
    )
    weight = "0.weight"
    assert torch.equal(first[weight], later[weight])
    assert torch.equal(first[weight], elsewhere[weight]), "public: it does not hang on the seed"
    assert not torch.equal(first[weight], different[weight])
    assert bench.record().theta0_sha256 == other.record().theta0_sha256
    assert bench.record().theta0_sha256 != another.record().theta0_sha256


def test_no_two_draws_share_their_theta0_or_minibatch(cohort):
    bench = loop.prepare(cohort, settings(draws=2), "cpu")
    drawn = [bench.draw(step, number) for step in range(2) for number in range(2)]
    for i, one in enumerate(drawn):
        for other in drawn[i + 1 :]:
            assert not torch.equal(one.theta0["0.weight"], other.theta0["0.weight"])
            assert not torch.equal(one.real[0], other.real[0])


def test_mirrored_minibatches_are_about_half_of_them_and_nothing_else_changes(cohort):
    plain = loop.prepare(cohort, settings(), "cpu")
    mirrored = loop.prepare(cohort, settings(augment="mirror"), "cpu")
    flipped = 0
    for step in range(20):
        one, other = plain.draw(step, 0).real, mirrored.draw(step, 0).real
        turned = torch.equal(other[0], one[0].flip(-1))
        assert turned or torch.equal(other[0], one[0])
        assert torch.equal(one[1], other[1])
        flipped += turned
    assert 4 < flipped < 16


def test_window_ends_anywhere_from_its_length_to_the_whole_trajectory(cohort):
    bench = loop.prepare(cohort, settings(unroll="window", window=2), "cpu")
    assert {bench.draw(step, 0).stop for step in range(30)} == {2, 3, 4}
    longer = loop.prepare(cohort, settings(unroll="window", window=9), "cpu")
    assert {longer.draw(step, 0).stop for step in range(5)} == {4}


def test_outer_rate_is_that_of_the_training_step(cohort, tmp_path, monkeypatch):
    rates = []

    def heard(state, gradients, rate):
        rates.append(rate)
        return moved(state, gradients, rate)

    moved = loop.moved
    monkeypatch.setattr(loop, "moved", heard)
    falling = settings(outer_steps=3, unroll="greedy", outer_decay="cosine")
    distill(cohort, tmp_path / "run", falling)
    assert rates == [falling.outer_rate_at(step) for step in range(3) for _ in range(4)]


def test_gradient_of_several_draws_is_their_mean(cohort, tmp_path, monkeypatch):
    seen, found = [], []

    def heard(state, gradients, rate):
        seen.append(gradients)
        return moved(state, gradients, rate)

    def noted(*arguments):
        found.append(full(*arguments))
        return found[-1]

    moved = loop.moved
    monkeypatch.setattr(loop, "moved", heard)
    monkeypatch.setattr(loop, "full", noted)
    distill(cohort, tmp_path / "run", settings(draws=3, outer_steps=1))
    for index, mean in enumerate(seen[0]):
        torch.testing.assert_close(mean, sum(one.tensors()[index] for one in found) / 3)
    losses = [line["loss"] for line in metrics(tmp_path / "run") if "loss" in line]
    assert losses == [pytest.approx(sum(one.loss for one in found) / 3)]


def test_hard_labels_stay_one_hot(cohort, tmp_path):
    hard = settings(labels="hard", inner_rates="shared")
    distilled = distill(cohort, tmp_path / "run", hard).distilled
    np.testing.assert_array_equal(distilled.labels, np.eye(3, dtype=np.float32))
    assert distilled.learning_rates.shape == (1,)


def test_soft_labels_move(cohort, whole):
    start = torch.softmax(initial_unknowns(SETTINGS, 8).logits, 1).numpy()
    assert np.abs(read_result(whole).labels - start).max() > 1e-3


def test_start_is_noise_scaled_one_hot_and_the_asked_rate():
    unknowns = initial_state(Settings(images=6, inner_rate=0.03), 16).unknowns
    assert unknowns.images.shape == (6, 1, 16, 16)
    assert abs(unknowns.images.std().item() - 1) < 0.1
    assert unknowns.logits.argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    rates = torch.nn.functional.softplus(unknowns.rates)
    torch.testing.assert_close(rates, torch.full((9,), 0.03))


def test_a_run_never_overwrites_another(cohort, whole):
    with pytest.raises(RunError, match="not empty"):
        distill(cohort, whole, SETTINGS)


def test_resuming_with_other_settings_names_what_differs(cohort, whole):
    with pytest.raises(RunError, match="batch 9 -> 12"):
        distill(cohort, whole, settings(batch=12), resume=True)


def test_resuming_on_another_cohort_of_equal_size_is_refused(cohort, whole, tmp_path):
    table = write_films(tmp_path / "films")
    for film in (tmp_path / "films").glob("[0-9]*.png"):
        Image.fromarray(np.asarray(Image.open(film)) // 2).save(film)
    label_cohort(table, tmp_path / "cohort", TINY, (1 / 3, 1 / 3, 1 / 3), 0)
    other = open_cohort(tmp_path / "cohort")
    assert other.counts == cohort.counts
    with pytest.raises(RunError, match=r"this is another run .*cohort_sha256"):
        distill(other, whole, SETTINGS, resume=True)


def test_cohort_that_was_moved_is_the_same_cohort(cohort, whole, tmp_path):
    shutil.copytree(cohort.path, tmp_path / "elsewhere")
    shutil.copytree(whole, tmp_path / "run")
    distill(open_cohort(tmp_path / "elsewhere"), tmp_path / "run", SETTINGS, resume=True)


def test_resuming_where_there_is_no_run_is_refused(cohort, tmp_path):
    with pytest.raises(RunError, match="no run here"):
        distill(cohort, tmp_path / "run", SETTINGS, resume=True)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "metrics.jsonl"])
def test_damaged_run_is_refused_not_continued(cohort, whole, tmp_path, name):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match=name):
        distill(cohort, tmp_path / "run", SETTINGS, resume=True)


def test_unfinished_run_has_no_result_to_publish(cohort, tmp_path):
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "run", SETTINGS, progress=break_off_after(1))
    with pytest.raises(RunError, match="not finished"):
        read_result(tmp_path / "run")


def test_cohort_without_validation_windows_is_refused(tmp_path):
    table = write_films(tmp_path / "films")
    label_cohort(table, tmp_path / "c", TINY, (1.0, 0.0, 0.0), 0)
    with pytest.raises(CohortError, match="no validation window"):
        distill(open_cohort(tmp_path / "c"), tmp_path / "run", SETTINGS)


def test_device_that_is_not_there_is_refused(cohort, tmp_path):
    with pytest.raises(UsageError, match="--device meteor"):
        distill(cohort, tmp_path / "run", SETTINGS, device="meteor")
    assert not (tmp_path / "run").exists()


def spoiled(monkeypatch, at, bad=math.nan):
    """Make the derivative by the rates bad at these training steps, numbered from 1."""
    calls = iter(range(1, 10**6))

    def spoil(*arguments):
        found = full(*arguments)
        return replace(found, rates=found.rates * bad) if next(calls) in at else found

    monkeypatch.setattr(loop, "full", spoil)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_bad_steps_are_left_out_counted_and_shown(cohort, tmp_path, monkeypatch, bad):
    spoiled(monkeypatch, {2, 4, 5}, bad)
    ticks = []
    outcome = distill(cohort, tmp_path / "run", SETTINGS, progress=ticks.append)
    assert [tick.skipped for tick in ticks] == [0, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3]
    skipped = {one["step"]: one["skipped"] for one in metrics(tmp_path / "run") if "skipped" in one}
    assert skipped == {2: 1, 4: 1, 5: 1}
    progress = load_checkpoint(tmp_path / "run", SETTINGS, 8).progress
    assert (progress.step, progress.updates) == (12, 9)
    assert (progress.skipped, progress.skipped_in_a_row) == (3, 0)
    assert outcome.distilled.problem() is None


def test_loss_that_is_not_a_number_is_left_out_of_the_metrics(cohort, tmp_path, monkeypatch):
    def blind(*arguments):
        return replace(full(*arguments), loss=math.nan)

    monkeypatch.setattr(loop, "full", blind)
    ticks = []
    distill(cohort, tmp_path / "run", settings(outer_steps=2), progress=ticks.append)
    assert [one["step"] for one in metrics(tmp_path / "run")] == [1, 2, 2]
    assert not any("loss" in one for one in metrics(tmp_path / "run"))
    assert all(math.isnan(tick.loss) for tick in ticks)


def test_many_bad_steps_in_a_row_end_the_run_with_the_remedy(cohort, tmp_path, monkeypatch):
    spoiled(monkeypatch, range(3, 100))
    ticks = []
    last = 2 + SKIPS_IN_A_ROW
    with pytest.raises(
        RunError,
        match=rf"the last {SKIPS_IN_A_ROW} derivatives up to step {last} were not finite or "
        "exploded; start again in a new folder with a smaller --inner-rate or --outer-rate",
    ):
        distill(
            cohort,
            tmp_path / "run",
            settings(outer_steps=100, score_every=100),
            progress=ticks.append,
        )
    assert len(ticks) == last - 1


def test_row_of_bad_steps_goes_on_through_an_interruption(cohort, tmp_path, monkeypatch):
    longer = settings(outer_steps=100, score_every=100)
    spoiled(monkeypatch, range(1, 100))
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "run", longer, progress=break_off_after(9))
    ticks = []
    with pytest.raises(RunError, match=f"up to step {SKIPS_IN_A_ROW} were"):
        distill(cohort, tmp_path / "run", longer, resume=True, progress=ticks.append)
    assert ticks[0].step == 10


def test_rates_driven_to_nothing_are_refused_not_published(cohort, tmp_path):
    with pytest.raises(RunError, match="a learning rate is not positive; distil again"):
        distill(cohort, tmp_path / "run", settings(outer_rate=100.0, inner_rate=100.0))


FULL_DISK = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gdshare.cohort import open_cohort
from gdshare.distill.loop import distill
from gdshare.distill.settings import Settings
from gdshare.errors import RunError
cohort, disk = open_cohort(Path(sys.argv[1])), Path(sys.argv[2])
settings = Settings.model_validate_json(sys.argv[3])
def fill(tick):
    if tick.step == 4:
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(512))
            except OSError:
                pass
try:
    distill(cohort, disk / "run", settings, progress=fill)
    said = "nothing"
except RunError as error:
    said = str(error)
left = sorted(path.name for path in (disk / "run").iterdir())
(disk / "ballast").unlink()
distill(cohort, disk / "run", settings, resume=True)
result = {"said": said, "left": left}
for path in (disk / "run").iterdir():
    (Path(sys.argv[4]) / path.name).write_bytes(path.read_bytes())
print(json.dumps(result))
"""


def test_full_disk_is_one_error_that_names_the_last_checkpoint(cohort, whole, tmp_path):
    """On a real file system of 192 kB, in a mount namespace of its own."""
    disk, rescued = tmp_path / "disk", tmp_path / "rescued"
    disk.mkdir()
    rescued.mkdir()
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=192k tmpfs '{disk}'"
    if not shutil.which("unshare") or subprocess.run([*alone, mount], check=False).returncode:
        pytest.skip("this machine lets no one but root mount a small file system")
    arguments = [str(cohort.path), str(disk), SETTINGS.model_dump_json(), str(rescued)]
    python = [f'{mount} && exec "$@"', "sh", sys.executable, "-c", FULL_DISK, *arguments]
    ended = subprocess.run([*alone, *python], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    run = disk / "run"
    assert told["said"] == (
        f"{run}: cannot be written (No space left on device); the last good checkpoint is "
        f"{run / 'checkpoint.safetensors'}; make room, then go on with --resume"
    )
    assert not [name for name in told["left"] if name.startswith(".")], "no half-written file"
    assert contents(rescued) == contents(whole)


CREW = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gdshare.cohort import open_cohort
from gdshare.distill.crew import join
from gdshare.distill.loop import StoppedError, distill
from gdshare.distill.settings import Settings
crew = join()
cohort, out = open_cohort(Path(sys.argv[1])), Path(sys.argv[2])
whole, begun = (Settings.model_validate_json(text) for text in sys.argv[3:])
print(distill(cohort, out / "whole-by-two", whole, crew=crew).score)
asked = iter([False] * 4 + [crew.rank == 1])
try:
    distill(cohort, out / "begun-by-two", begun, stopping=lambda: next(asked), crew=crew)
except StoppedError:
    print("stopped")
"""


def test_two_processes_make_the_bytes_of_one_and_one_goes_on_where_two_stopped(cohort, tmp_path):
    whole = settings(draws=3, outer_steps=6)
    begun = settings(draws=2, outer_steps=6, unroll="greedy")
    alone = distill(cohort, tmp_path / "whole-by-one", whole)
    distill(cohort, tmp_path / "begun-by-one", begun)
    script = tmp_path / "crew.py"
    script.write_text(CREW)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    local = ["--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    kinds = [whole.model_dump_json(), begun.model_dump_json()]
    ended = subprocess.run(
        [*torchrun, *local, script, cohort.path, tmp_path, *kinds],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count(str(alone.score)) == 2, "every process ends with the same score"
    assert ended.stdout.count("stopped") == 2, "one is asked to stop, both do"
    assert contents(tmp_path / "whole-by-two") == contents(tmp_path / "whole-by-one")
    assert steps_done(tmp_path / "begun-by-two", begun) == 5
    distill(cohort, tmp_path / "begun-by-two", begun, resume=True)
    assert contents(tmp_path / "begun-by-two") == contents(tmp_path / "begun-by-one")


def test_folder_of_a_run_is_for_its_owner_alone(whole):
    assert whole.stat().st_mode & 0o077 == 0


def test_checkpoint_of_the_start_is_the_start(tmp_path):
    state = load_checkpoint(tmp_path, SETTINGS, 8)
    assert state.progress.step == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            state.unknowns.tensors(), initial_unknowns(SETTINGS, 8).tensors(), strict=True
        )
    )
