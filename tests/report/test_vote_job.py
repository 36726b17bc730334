import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from film_kit import PROTOCOL, write_films
from process_kit import environment

from gdshare.errors import RunError
from gdshare.model import Model, save_model
from gdshare.networks import build, draw
from gdshare.report.vote_job import VoteJob, classify_films, default_workers

MANY = 400


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder of films."""
    folder = tmp_path_factory.mktemp("films")
    write_films(folder, patients=2)
    return folder


def _model():
    parameters = draw("convnet", build("convnet", 16), torch.Generator().manual_seed(0))
    return Model("convnet", PROTOCOL, (parameters,))


def test_a_process_that_was_killed_is_reported(films):
    """As the kernel does it where memory ends: the films it had are not passed over in silence."""
    job = VoteJob("convnet", _model().to_bytes(), PROTOCOL, 0.4)
    outcomes = classify_films(job, {str(n): films / "1.png" for n in range(MANY)}, 2)
    next(outcomes)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(RunError, match="was ended; there may be too little memory"):
        list(outcomes)


def test_nobody_goes_on_once_the_first_process_was_killed(films, tmp_path):
    save_model(tmp_path / "model", _model(), {})
    many = tmp_path / "many"
    many.mkdir()
    for number in range(MANY):
        (many / f"{number}.png").write_bytes((films / "1.png").read_bytes())
    words = ["classify", str(tmp_path / "model"), str(many), "--workers", "2"]
    command = [sys.executable, "-m", "gdshare", *words]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        while b".png" not in first.stdout.readline():  # a film: so the others are at work
            assert first.poll() is None
        others = _children(first.pid)
        assert len(others) >= 2
        first.kill()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in others):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(own) for task in tasks for own in (task / "children").read_text().split()]


def test_few_films_are_not_worth_another_process():
    cores = len(os.sched_getaffinity(0))
    assert [default_workers(films, "cpu") for films in (1, 7, 8)] == [1, 1, min(2, cores)]
    assert default_workers(1000, "cpu") == cores
    assert default_workers(1000, "cuda") == 1
