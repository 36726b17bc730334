"""What a run leaves on the disk while it goes on, and what it says when that fails."""

import errno
import sys
from pathlib import Path

import pytest
import torch
from run_kit import BrokenOffError, break_off_after, contents

from gdshare.distill.journal import Journal, one_line_errors
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
    shown = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    shown.Reload()
    assert set(shown.Tags()["scalars"]) == {"loss", "rate", "score", "deviation"}
    assert [event.step for event in shown.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in shown.Scalars("score")] == [3, 6]


def test_event_files_change_no_other_byte_and_come_only_when_asked_for(cohort, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra")
    distill(cohort, tmp_path / "with", SETTINGS, tensorboard=True)
    distill(cohort, tmp_path / "without", SETTINGS)
    assert not (tmp_path / "without" / "tensorboard").exists()
    assert contents(tmp_path / "with") == contents(tmp_path / "without")


def test_tensorboard_that_is_not_there_is_said_before_a_run_is_begun(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"not installed; pip install tensorboard"):
        distill(cohort, tmp_path / "run", SETTINGS, tensorboard=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_disk_that_takes_nothing_is_told_with_the_remedy(tmp_path, number):
    with (
        pytest.raises(RunError, match=r"cannot be written .*there is no checkpoint yet; make room"),
        one_line_errors(tmp_path),
    ):
        raise OSError(number, "No more")


def test_device_that_is_lost_is_told_in_one_line_with_the_last_checkpoint(tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.touch()
    with pytest.raises(RunError) as told, one_line_errors(tmp_path):
        raise torch.AcceleratorError("the device has fallen off the bus\nand much more")
    assert str(told.value) == (
        f"{tmp_path}: the device failed (the device has fallen off the bus); the last good "
        f"checkpoint is {checkpoint}; go on with --resume once it answers again, or with "
        "--device cpu in a new folder"
    )


def test_too_little_memory_on_the_device_is_not_told_to_be_tried_again_as_it_was(tmp_path):
    advice = r"too little memory.*fewer --workers.*smaller --batch"
    with pytest.raises(RunError, match=advice), one_line_errors(tmp_path):
        raise torch.OutOfMemoryError("tried to allocate")


def test_other_errors_are_not_taken_for_a_full_disk():
    with pytest.raises(PermissionError), one_line_errors(Path("run")):
        raise PermissionError(errno.EACCES, "not yours")


def test_those_who_do_not_lead_write_nothing():
    silent = Journal(None, None)
    silent.write({"step": 1, "loss": 0.5})
    assert silent.on_disk() == 0
