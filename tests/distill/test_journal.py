"""What a run writes while it goes on, and its errors when that fails."""

import errno
import sys
from pathlib import Path

import pytest
import torch
from run_kit import BrokenOffError, break_off_after, contents

from gdshare.distill.journal import Journal, explain_faults
from gdshare.distill.loop import distill
from gdshare.errors import RunError, UsageError
from gdshare.method import Settings

SETTINGS = Settings(
    network="convnet",
    outer_steps=6,
    score_every=3,
    score_inits=1,
    score_patches=2,
    checkpoint_every=3,
    batch=3,
    epochs=1,
    steps=2,
)


def test_tensorboard_shows_each_step_once_after_an_interruption(cohort, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "run", SETTINGS, progress=break_off_after(5), tensorboard=True)
    distill(cohort, tmp_path / "run", SETTINGS, resume=True, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "rate", "score", "deviation"}
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("score")] == [3, 6]


def test_event_files_change_no_other_byte_and_are_written_only_when_asked_for(cohort, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra")
    distill(cohort, tmp_path / "with", SETTINGS, tensorboard=True)
    distill(cohort, tmp_path / "without", SETTINGS)
    assert not (tmp_path / "without" / "tensorboard").exists()
    assert contents(tmp_path / "with") == contents(tmp_path / "without")


def test_missing_tensorboard_is_an_error_before_a_run_begins(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"not installed; pip install tensorboard"):
        distill(cohort, tmp_path / "run", SETTINGS, tensorboard=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_disk_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path, number):
    with pytest.raises(RunError) as caught, explain_faults(tmp_path):
        raise OSError(number, "No more")
    assert str(caught.value) == (
        f"{tmp_path}: cannot be written (No more); make room, then start again"
    )


def test_full_disk_before_the_first_checkpoint_says_so(tmp_path):
    (tmp_path / "run.json").touch()
    message = r"make room, then go on with --resume \(from step 0, as there is no checkpoint yet\)"
    with pytest.raises(RunError, match=message), explain_faults(tmp_path):
        raise OSError(errno.ENOSPC, "No more")


def test_lost_device_is_a_one_line_error_with_the_last_checkpoint(tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.touch()
    with pytest.raises(RunError) as caught, explain_faults(tmp_path):
        raise torch.AcceleratorError("the device has fallen off the bus\nand much more")
    assert str(caught.value) == (
        f"{tmp_path}: the device failed (the device has fallen off the bus); once it answers again "
        f"go on with --resume (from {checkpoint}), or start in a new folder with --device cpu"
    )


def test_remedy_for_too_little_memory_is_not_to_try_the_same_again(tmp_path):
    advice = r"too little memory.*fewer --workers.*smaller --batch"
    with pytest.raises(RunError, match=advice), explain_faults(tmp_path):
        raise torch.OutOfMemoryError("tried to allocate")


def test_other_errors_pass_through():
    with pytest.raises(PermissionError), explain_faults(Path("run")):
        raise PermissionError(errno.EACCES, "not yours")


def test_workers_other_than_the_main_one_write_nothing():
    silent = Journal(None, None)
    silent.write({"step": 1, "loss": 0.5})
    assert silent.sync() == 0
