"""The run folder: opening it for a new or a resumed run, and reading a finished run.

::

    RUN/
      run.json                 settings, cohort and machine; has the seed, stays at the hospital
      theta0.safetensors       the shared model that was announced as θ0, if one was
      privacy.json             guarantee and noisy statistic, see gdshare.private
      .lock                    locked while a process is at the run
      metrics.jsonl            a line for each training step, and for each score
      checkpoint.safetensors   the state to resume from
      timings.jsonl            when it ran and for how long; the one file that differs on a repeat
      distilled.safetensors    the result: the best scored state
      score.json               its patch score, by which a run at chance is not released unasked
      preview.png              the result as a picture
      audit.json               attacks on the result, where they were made; audit.sig signs it
      audit-work/              what an audit distilled to calibrate them
      tensorboard/             event files, where asked for
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from gdshare.announcement import MAX_WEIGHTS
from gdshare.distilled import TENSORS, Distilled
from gdshare.errors import LockedError, RunError
from gdshare.lock import lock
from gdshare.method import RunRecord
from gdshare.plain_files import MAX_RECORD, MAX_TABLE, MAX_TENSORS, read_plain
from gdshare.storage import write_bytes, write_json

RECORD = "run.json"
THETA0 = "theta0.safetensors"
PRIVACY = "privacy.json"
LOCK = ".lock"
METRICS = "metrics.jsonl"
TIMINGS = "timings.jsonl"
RESULT = "distilled.safetensors"
PREVIEW = "preview.png"


@contextmanager
def open_run(
    out: Path, record: RunRecord, resume: bool, theta0: bytes | None = None
) -> Iterator[None]:
    """Make a new run folder, or open the run to resume, and keep other processes from it.

    A kill leaves no lock behind. ``theta0`` is the file of a shared model that a new run starts
    from.

    Raises:
        RunError: the folder is not empty (without ``resume``), has no run (with it), or a run of
            other settings, another cohort or machine; or another process is at this run.
    """
    with claim(out, resume):
        begin(out, record, resume, theta0)
        yield


@contextmanager
def claim(out: Path, resume: bool) -> Iterator[None]:
    """Keep other processes from a run folder, new or to be resumed.

    Raises:
        RunError: the folder is not empty (without ``resume``) or has no run (with it); or another
            process is at this run.
    """
    if resume:
        read_record(out)
    else:
        require_empty(out)
        out.mkdir(parents=True, exist_ok=True)
        out.chmod(0o700)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(out / LOCK, timeout_s=0))
        except LockedError as error:
            raise RunError(
                f"another process is at this run ({error.what})", out, error.remedy
            ) from error
        yield


def begin(out: Path, record: RunRecord, resume: bool, theta0: bytes | None = None) -> None:
    """Write ``run.json`` of a new run, or check that the run to resume is this one.

    Args:
        out: a claimed folder.
        record, resume, theta0: as for ``open_run``.

    Raises:
        RunError: as for ``open_run``.
    """
    if resume:
        _require_same(out, record)
        return
    require_empty(out)  # another process may have begun and ended a run meanwhile
    if theta0 is not None:
        write_bytes(out / THETA0, theta0)
    else:  # a killed process may have left those of another run
        (out / THETA0).unlink(missing_ok=True)
    write_json(out / RECORD, record.model_dump(mode="json"))


def has_guarantee(out: Path) -> bool:
    """Whether a run was made under a guarantee: its folder has ``privacy.json``."""
    return os.path.lexists(out / PRIVACY)  # a link that leads nowhere is a damaged record


def is_guarded(out: Path, record: RunRecord) -> bool:
    """Whether a run has a guarantee, be its record lost or not."""
    return record.privacy_sha256 is not None or has_guarantee(out)


def require_public(out: Path) -> None:
    """Refuse to go on without its guarantee with a run that has one.

    Raises:
        RunError: the folder has ``privacy.json``.
    """
    if has_guarantee(out):
        raise RunError(
            "this run has a guarantee, and going on without it would break it",
            out / PRIVACY,
            "resume it by gdshare distill --resume, or choose another --out",
        )


def require_empty(out: Path) -> None:
    """Refuse a folder with anything but what a kill left before ``run.json`` was written.

    Raises:
        RunError: it is not empty.
    """
    if out.exists() and any(
        not _left_by_a_kill(entry) and entry.name != LOCK for entry in out.iterdir()
    ):
        raise RunError(
            "is not empty", out, "choose another --out, or go on with its run by --resume"
        )


def _require_same(out: Path, record: RunRecord) -> None:
    before = read_record(out)
    if before == record:
        return
    ours, theirs = _flat(record), _flat(before)
    changed = [
        "seed" if key == "seed" else f"{key} {theirs.get(key)} -> {ours[key]}"
        for key in ours
        if ours[key] != theirs.get(key)
    ]
    raise RunError(
        f"this is another run ({', '.join(changed)})",
        out / RECORD,
        "resume with the same settings and cohort, or start in a new folder",
    )


def _left_by_a_kill(path: Path) -> bool:
    """Whether a file was left by a process that was killed before ``run.json`` was written."""
    if path.name in (THETA0, PRIVACY):
        return not (path.parent / RECORD).exists()
    return path.name.startswith((f".{RECORD}.", f".{THETA0}.", f".{PRIVACY}."))


def read_record(out: Path) -> RunRecord:
    """Read ``run.json``.

    Raises:
        RunError: not there, damaged, or of another version.
    """
    path = out / RECORD
    try:
        return RunRecord.model_validate_json(read_plain(path, MAX_RECORD))
    except OSError as error:
        raise RunError(
            f"no run here (no readable {RECORD})", out, "make one with gdshare distill"
        ) from error
    except ValidationError as error:
        raise RunError("damaged or of another version", path, "distil again") from error


def record_digest(out: Path) -> str:
    """SHA-256 of ``run.json``, by which the score of its result names it.

    Raises:
        RunError: it cannot be read.
    """
    path = out / RECORD
    try:
        return hashlib.sha256(read_plain(path, MAX_RECORD)).hexdigest()
    except OSError as error:
        raise RunError(f"cannot be read ({error.strerror})", path, "distil again") from error


def read_theta0(out: Path) -> bytes | None:
    """Read the shared model that a run starts from; None if it starts from another θ0.

    Raises:
        RunError: it cannot be read.
    """
    path = out / THETA0
    try:
        return read_plain(path, MAX_WEIGHTS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(
            f"cannot be read ({error.strerror})", path, "copy it from the announcement"
        ) from error


def read_result(out: Path) -> Distilled:
    """Read a finished run's result.

    Raises:
        RunError: not finished, or damaged.
    """
    path = out / RESULT
    try:
        tensors = load(read_plain(path, MAX_TENSORS))
    except FileNotFoundError as error:
        raise RunError(
            "the run is not finished", out, "go on with gdshare distill --resume"
        ) from error
    except (OSError, SafetensorError) as error:
        raise RunError(f"cannot be read ({error})", path, "distil again") from error
    if set(tensors) != set(TENSORS):
        raise RunError(f"has other tensors than {', '.join(TENSORS)}", path, "distil again")
    arrays = {name: np.asarray(tensors[name]) for name in TENSORS}
    return Distilled(**arrays).require_sound(str(path))


def rewind(path: Path, length: int) -> None:
    """Cut a log back to ``length`` bytes: whatever follows a checkpoint is a lost attempt.

    Raises:
        RunError: the log is shorter than the checkpoint says.
    """
    path.touch()
    if path.stat().st_size < length:
        raise RunError("was cut short since its checkpoint", path, "start again in a new folder")
    os.truncate(path, length)


def json_line(values: Mapping[str, object]) -> bytes:
    """A line of a JSON-lines log."""
    return (json.dumps(values, sort_keys=True, allow_nan=False) + "\n").encode()


def seconds_of(out: Path) -> float:
    """Wall-clock seconds spent on a run so far, over all attempts.

    Raises:
        RunError: the log of attempts cannot be read.
    """
    path = out / TIMINGS
    try:
        lines = read_plain(path, MAX_TABLE).splitlines()
        return float(sum(json.loads(line)["seconds"] for line in lines))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot be read ({error})", path, "distil again") from error


def _flat(record: RunRecord) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in record.model_dump().items():
        values |= value if isinstance(value, dict) else {key: value}
    return values
