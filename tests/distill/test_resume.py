"""Runs that are interrupted in every way we know, and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pytest
from film_kit import write_films
from PIL import Image
from run_kit import (
    SETTINGS,
    TINY,
    BrokenOffError,
    asked_after,
    break_off_after,
    contents,
    metrics,
    settings,
    steps_done,
)

from gdshare.cohort import label_cohort, open_cohort
from gdshare.distill.loop import StoppedError, distill
from gdshare.distill.run_folder import LOCK, RESULT, read_record, read_result
from gdshare.distill.state import load_checkpoint
from gdshare.errors import LockedError, RunError
from gdshare.lock import lock
from gdshare.method import Settings


def test_run_interrupted_anywhere_and_resumed_ends_with_the_same_bytes(cohort, whole, tmp_path):
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
    list(product(("full", "window", "greedy"), ("random", "announced"), (1, 2), (1, 2))),
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
    assert len(outcome.score.values) == (1 if theta0 == "announced" else 2)
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
from gdshare.method import Settings
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
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2, 3, 4]
    with pytest.raises(RunError, match="not finished"):
        read_result(tmp_path / "run")
    distill(cohort, tmp_path / "run", SETTINGS, resume=True)
    assert contents(tmp_path / "run") == contents(whole)


def test_run_asked_to_stop_in_its_last_step_is_finished(cohort, whole, tmp_path):
    distill(cohort, tmp_path / "run", SETTINGS, stopping=asked_after(SETTINGS.outer_steps))
    assert contents(tmp_path / "run") == contents(whole)


def test_resuming_a_finished_run_changes_nothing(cohort, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    ticks = []
    distill(cohort, tmp_path / "run", SETTINGS, resume=True, progress=ticks.append)
    assert contents(tmp_path / "run") == contents(whole)
    assert not ticks


def test_run_that_another_process_is_at_is_refused(cohort, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    before = contents(tmp_path / "run")
    refused = pytest.raises(RunError, match=r"another process is at this run .* process")
    with lock(tmp_path / "run" / LOCK), refused:
        distill(cohort, tmp_path / "run", SETTINGS, resume=True)
    assert contents(tmp_path / "run") == before
    distill(cohort, tmp_path / "run", SETTINGS, resume=True)  # it has ended


def test_second_process_that_begins_in_the_same_new_folder_is_refused(cohort, tmp_path):
    (tmp_path / "run").mkdir()
    refused = pytest.raises(RunError, match="another process is at this run")
    with lock(tmp_path / "run" / LOCK), refused:
        distill(cohort, tmp_path / "run", SETTINGS)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]


def test_run_is_locked_from_its_first_step_to_its_last(cohort, tmp_path):
    steps = []

    def try_to_lock(tick):
        with pytest.raises(LockedError), lock(tmp_path / "run" / LOCK, timeout_s=0):
            pytest.fail("two at once")
        steps.append(tick.step)

    distill(cohort, tmp_path / "run", SETTINGS, progress=try_to_lock)
    assert len(steps) == SETTINGS.outer_steps
    with lock(tmp_path / "run" / LOCK, timeout_s=0):
        pass


def test_every_attempt_is_logged_with_its_time(cohort, tmp_path):
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
    lines = (tmp_path / "run" / "timings.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"began": 100.0, "seconds": 3.0, "from_step": 0},
        {"began": 200.0, "seconds": 7.0, "from_step": 3},
    ]


def listen_to_ctrl_c():
    """Processes started from a shell's background job, as tests may be, ignore SIGINT."""
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
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "--resume" in stderr
    assert "Traceback" not in stderr


FULL_DISK = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gdshare.cohort import open_cohort
from gdshare.distill.loop import distill
from gdshare.method import Settings
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
    message = "nothing"
except RunError as error:
    message = str(error)
left = sorted(path.name for path in (disk / "run").iterdir())
(disk / "ballast").unlink()
distill(cohort, disk / "run", settings, resume=True)
result = {"message": message, "left": left}
for path in (disk / "run").iterdir():
    (Path(sys.argv[4]) / path.name).write_bytes(path.read_bytes())
print(json.dumps(result))
"""


def test_full_disk_is_an_error_that_names_the_last_checkpoint(cohort, whole, tmp_path):
    """On a real file system of 4 MB, in a mount namespace of its own."""
    disk, rescued = tmp_path / "disk", tmp_path / "rescued"
    disk.mkdir()
    rescued.mkdir()
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=4m tmpfs '{disk}'"
    if not shutil.which("unshare") or subprocess.run([*alone, mount], check=False).returncode:
        pytest.skip("on this machine only root can mount a small file system")
    arguments = [str(cohort.path), str(disk), SETTINGS.model_dump_json(), str(rescued)]
    python = [f'{mount} && exec "$@"', "sh", sys.executable, "-c", FULL_DISK, *arguments]
    ended = subprocess.run([*alone, *python], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    run = disk / "run"
    assert result["message"] == (
        f"{run}: cannot be written (No space left on device); make room, then go on with --resume "
        f"(from {run / 'checkpoint.safetensors'})"
    )
    hidden = [name for name in result["left"] if name.startswith(".") and name != LOCK]
    assert not hidden, "no half-written file"
    assert contents(rescued) == contents(whole)


TWO_WORKERS = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gdshare.cohort import open_cohort
from gdshare.distill.workers import join
from gdshare.distill.loop import StoppedError, distill
from gdshare.method import Settings
workers = join()
cohort, out = open_cohort(Path(sys.argv[1])), Path(sys.argv[2])
whole, begun = (Settings.model_validate_json(text) for text in sys.argv[3:])
print(distill(cohort, out / "whole-by-two", whole, workers=workers).score)
asked = iter([False] * 4 + [workers.rank == 1])
try:
    distill(cohort, out / "begun-by-two", begun, stopping=lambda: next(asked), workers=workers)
except StoppedError:
    print("stopped")
"""


def test_two_workers_make_the_bytes_of_one_and_one_resumes_where_two_stopped(cohort, tmp_path):
    whole = settings(draws=3, outer_steps=6)
    begun = settings(draws=2, outer_steps=6, unroll="greedy")
    alone = distill(cohort, tmp_path / "whole-by-one", whole)
    distill(cohort, tmp_path / "begun-by-one", begun)
    script = tmp_path / "workers.py"
    script.write_text(TWO_WORKERS, encoding="utf-8")
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
    assert ended.stdout.count("stopped") == 2, "asking one of them stops both"
    assert contents(tmp_path / "whole-by-two") == contents(tmp_path / "whole-by-one")
    assert steps_done(tmp_path / "begun-by-two", begun) == 5
    distill(cohort, tmp_path / "begun-by-two", begun, resume=True)
    assert contents(tmp_path / "begun-by-two") == contents(tmp_path / "begun-by-one")


def test_run_in_bfloat16_resumes_to_the_same_bytes(cohort, whole, tmp_path):
    rounded = settings(precision="bfloat16")
    distill(cohort, tmp_path / "whole", rounded)
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "parts", rounded, progress=break_off_after(4))
    distill(cohort, tmp_path / "parts", rounded, resume=True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert contents(tmp_path / "parts")[RESULT] != contents(whole)[RESULT]


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
def test_damaged_run_is_refused_not_resumed(cohort, whole, tmp_path, name):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match=name):
        distill(cohort, tmp_path / "run", SETTINGS, resume=True)
