"""What a run writes while it goes on: metrics, attempts, TensorBoard's event files."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import torch

from gdshare.distill import run_folder
from gdshare.distill.state import CHECKPOINT, Progress
from gdshare.errors import RunError, UsageError
from gdshare.storage import append

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

EVENTS = "tensorboard"


@dataclass(frozen=True)
class Journal:
    """Where metrics go: to their file and to TensorBoard, or nowhere."""

    metrics: BinaryIO | None
    board: "SummaryWriter | None"

    def write(self, values: Mapping[str, object]) -> None:
        """Add a line of metrics; ``step`` is one of them."""
        self.conclude(values)
        if self.board is not None:
            for name, value in values.items():
                if name != "step":
                    self.board.add_scalar(name, value, values["step"])

    def conclude(self, values: Mapping[str, object]) -> None:
        """Add a line to the file alone: TensorBoard hides what follows an earlier step."""
        if self.metrics is not None:
            self.metrics.write(run_folder.json_line(values))

    def sync(self) -> int:
        """Flush the metrics to the disk; returns their length in bytes."""
        if self.metrics is None:
            return 0
        self.metrics.flush()
        os.fsync(self.metrics.fileno())
        return self.metrics.tell()


@contextmanager
def open_journal(
    out: Path, progress: Progress, is_main: bool, tensorboard: bool, clock: Callable[[], float]
) -> Iterator[Journal]:
    """Cut the metrics back to the checkpoint, go on writing them, and log the attempt's time.

    Args:
        out: the run folder.
        progress: of the checkpoint.
        is_main: whether this process writes the run folder; other workers write nothing.
        tensorboard: write event files too.
        clock: seconds since the epoch.

    Raises:
        RunError: the metrics are shorter than the checkpoint says.
    """
    if not is_main:
        yield Journal(None, None)
        return
    run_folder.rewind(out / run_folder.METRICS, progress.metrics_bytes)
    board = _board(out / EVENTS, progress.step) if tensorboard else None
    began = clock()
    try:
        with (out / run_folder.METRICS).open("ab") as metrics:
            yield Journal(metrics, board)
    finally:
        if board is not None:
            board.close()
        attempt = {"began": began, "seconds": clock() - began, "from_step": progress.step}
        append(out / run_folder.TIMINGS, run_folder.json_line(attempt))


@contextmanager
def explain_faults(out: Path) -> Iterator[None]:
    """Turn a full disk or a lost device into one plain error that names the last checkpoint.

    Raises:
        RunError: in place of the machine's own error.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
            raise
        begun = (out / run_folder.RECORD).exists()
        raise RunError(
            f"cannot be written ({error.strerror})",
            out,
            f"make room, then {f'go on with {_resume(out)}' if begun else 'start again'}",
        ) from error
    except torch.OutOfMemoryError as error:
        raise RunError(
            "the device has too little memory",
            out,
            f"go on with {_resume(out)} and fewer --workers a GPU, or start in a new folder "
            "with a smaller --batch or --device cpu",
        ) from error
    except torch.AcceleratorError as error:
        reason = str(error).splitlines()[0]
        raise RunError(
            f"the device failed ({reason})",
            out,
            f"once it answers again go on with {_resume(out)}, or start in a new folder with "
            "--device cpu",
        ) from error


def _resume(out: Path) -> str:
    path = out / CHECKPOINT
    return f"--resume (from {path if path.exists() else 'step 0, as there is no checkpoint yet'})"


def require_tensorboard() -> None:
    """Check, before a run begins, that its event files can be written.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "--tensorboard: TensorBoard is not installed", remedy="pip install tensorboard"
        ) from error


def _board(path: Path, step: int) -> "SummaryWriter":
    """Go on after ``step``: TensorBoard then hides what a lost attempt wrote later."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

    return SummaryWriter(str(path), purge_step=step + 1)
