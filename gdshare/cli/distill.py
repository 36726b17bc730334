"""``gdshare distill``: distil a cohort's training patches into a few soft-labelled images."""

import inspect
import logging
import os
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gdshare.announcement import AnnouncedStart, read_announcement
from gdshare.cli.distill_options import options_of_settings
from gdshare.cli.distill_report import report_outcome
from gdshare.cli.distill_settings import read_budget, read_settings
from gdshare.cli.interruption import stop_requests
from gdshare.cli.terminal import (
    AsJson,
    Device,
    resolve_device,
)
from gdshare.config import variable
from gdshare.distill.run_folder import (
    PREVIEW,
    RECORD,
    has_guarantee,
    read_record,
)
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.method import Settings
from gdshare.progress import progress
from gdshare.report.preview import render_preview
from gdshare.storage import write_bytes

if TYPE_CHECKING:
    from gdshare.cohort import Cohort
    from gdshare.distill.loop import Outcome, Tick
    from gdshare.distill.workers import Workers
    from gdshare.private.account import Budget

log = logging.getLogger(__name__)


GUARANTEE = "A guarantee for each patient"


def distill(
    cohort: Annotated[
        Path,
        typer.Argument(envvar=variable("cohort"), help="A labelled cohort made by gdshare label."),
    ],
    out: Annotated[Path, typer.Option(envvar=variable("run"), help="Folder for the run.")],
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with the options below; the command line overrides it."),
    ] = None,
    announcement: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="An aggregator's announcement of network and θ0, as gdshare consent kept it; for "
            "--network, --theta0 and --theta0-number.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the interrupted run in --out.")
    ] = False,
    device: Device = "auto",
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="A guarantee: the images are (ε, δ)-differentially private for each training "
            "patient. Needs the extra privacy.",
            rich_help_panel=GUARANTEE,
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="δ of the guarantee, below 1 / training patients.",
            show_default="0.00001",
            rich_help_panel=GUARANTEE,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that share the --draws of each step; the result is the same."
        ),
    ] = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard event files to --out.")
    ] = False,
    as_json: AsJson = False,
    **settings_options: Any,
) -> None:
    """Distil the training patches into a few images with soft labels and learned learning rates.

    Algorithm 1 of Li et al. 2020. Each option states the source's value, or "not given" and the
    value in Wang et al.'s code. Ctrl-C stops the run after the current step. --resume continues it
    from there, or after a power cut; on a CPU the result is the same, byte for byte, as without the
    interruption.

    With --epsilon the patients are read once, as one noisy statistic, and the images are distilled
    from that alone. privacy.json in --out says what the guarantee covers.
    """
    budget = read_budget(config, epsilon, delta)
    require_extra("distill" if budget is None or resume else "privacy")
    from gdshare.cohort import open_cohort
    from gdshare.distill.precision import with_precision
    from gdshare.distill.workers import join, spawn_workers

    options = {name: value for name, value in settings_options.items() if value is not None}
    private = budget is not None or (resume and has_guarantee(out))
    if private:
        _require_alone(announcement, workers, tensorboard, options)
    start = None
    if announcement is not None:
        start = _announced(announcement, options, resume)
        options |= _settings_of(start)
    settings = read_settings(config, options, _initial_settings(out, resume))
    if not resume:
        settings = with_precision(settings, resolve_device(device))
    if workers > settings.draws:
        raise _too_many(f"--workers {workers}", settings)
    labelled = open_cohort(cohort)
    theta0 = None if start is None else _weights_for(start, labelled)
    arguments = _Arguments(
        labelled, out, settings, device, resume, tensorboard, theta0, private, budget
    )
    if workers > 1 and "WORLD_SIZE" not in os.environ:
        if not resume and "OMP_NUM_THREADS" not in os.environ:
            _share_cores(workers)
        with spawn_workers(
            workers, [sys.executable, "-m", "gdshare", *_without_seed(sys.argv[1:])]
        ):
            outcome = _run(arguments, join())
    else:
        joined = join()
        if joined.size > settings.draws:
            raise _too_many(f"{joined.size} processes", settings)
        outcome = _run(arguments, joined)
        if not joined.is_main:
            return
    write_bytes(out / PREVIEW, render_preview(outcome.distilled))
    report_outcome(cohort, out, outcome, private, as_json)


def _settings_of(start: AnnouncedStart) -> dict[str, Any]:
    """The settings that an announcement fixes."""
    announced = start.announcement
    return {
        "network": announced.network,
        "theta0": "announced",
        "theta0_number": announced.number,
    }


def _announced(folder: Path, options: Mapping[str, Any], resume: bool) -> AnnouncedStart:
    """Read an announcement, and refuse it where something else was asked for."""
    if resume:
        raise UsageError("the run has kept its θ0", "--announcement with --resume", "leave it out")
    start = read_announcement(folder)
    for name, value in _settings_of(start).items():
        if options.get(name, value) != value:
            raise UsageError(
                f"the announcement says {value}",
                f"--{name.replace('_', '-')} {options[name]}",
                "leave it out",
            )
    return start


def _weights_for(start: AnnouncedStart, cohort: "Cohort") -> bytes | None:
    """A shared model's weights; None where θ0 is drawn. Either fits this cohort and machine."""
    from gdshare.theta0 import require_here

    side = start.announcement.side
    if cohort.protocol.side != side:
        raise UsageError(
            f"its patches have {cohort.protocol.side} px, and the announced network takes {side}",
            cohort.path,
            f"label the cohort with --side {side}",
        )
    require_here(start)
    return start.weights


def _too_many(processes: str, settings: Settings) -> UsageError:
    """Refuse more processes than there are draws to share."""
    if settings.train == "head":
        return UsageError(
            "a step that trains the head has one draw, and processes cannot share it",
            f"{processes} with --train head",
            "start one process",
        )
    return UsageError(
        "a draw needs a process of its own",
        f"{processes} for --draws {settings.draws}",
        "use more draws per step (they improve each step), or fewer processes",
    )


def _share_cores(workers: int) -> None:
    """Divide the cores among the processes: with a full set of threads each, they would crawl."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _without_seed(words: list[str]) -> list[str]:
    """Keep the seed out of the process list; the workers read it from the run folder."""
    result, skip = [], False
    for word in words:
        if skip or word.startswith("--seed="):
            skip = False
        elif word == "--seed":
            skip = True
        else:
            result.append(word)
    return result


@dataclass(frozen=True)
class _Arguments:
    """The command's arguments, checked."""

    cohort: "Cohort"
    out: Path
    settings: Settings
    device: str
    resume: bool
    tensorboard: bool
    theta0: bytes | None
    private: bool
    budget: "Budget | None"


def _run(arguments: _Arguments, workers: "Workers") -> "Outcome":
    """Distil with a progress bar; Ctrl-C stops after the current step."""
    from gdshare.distill.loop import StoppedError
    from gdshare.distill.loop import distill as run_distillation

    try:
        with (
            progress("distilling", hidden=not workers.is_main) as report,
            stop_requests(announce=workers.is_main) as stopping,
        ):
            if arguments.private:
                return _run_privately(arguments, report, stopping, workers)
            return run_distillation(
                arguments.cohort,
                arguments.out,
                arguments.settings,
                _device_for(arguments, workers),
                arguments.resume,
                lambda tick: report(tick.step, tick.total, _figures(tick)),
                stopping=stopping,
                workers=workers,
                tensorboard=arguments.tensorboard,
                reading=lambda done, total: report(done, total, "features of patches"),
                theta0=arguments.theta0,
            )
    except (StoppedError, KeyboardInterrupt):
        if workers.is_main:
            log.info(_how_to_continue(arguments, workers))
        raise typer.Exit(130) from None


def _run_privately(
    arguments: _Arguments,
    report: Callable[[int, int, str], None],
    stopping: Callable[[], bool],
    workers: "Workers",
) -> "Outcome":
    from gdshare.private.run import distill_privately

    return distill_privately(
        arguments.cohort,
        arguments.out,
        arguments.settings,
        arguments.budget,
        _device_for(arguments, workers),
        arguments.resume,
        lambda tick: report(tick.step, tick.total, _figures(tick)),
        stopping=stopping,
        reading=lambda done, total: report(done, total, "features of patients"),
    )


def _require_alone(
    announcement: Path | None, workers: int, tensorboard: bool, options: Mapping[str, Any]
) -> None:
    """Refuse what a run under a guarantee cannot have, or would pass over."""
    for given, where, what in (
        (announcement is not None, "--announcement", "the features must be those of scattering"),
        (workers > 1, f"--workers {workers}", "the statistic is drawn once, by one process"),
        (tensorboard, "--tensorboard", "its event files are not written with a guarantee"),
        *(
            (name in options, f"--{name.replace('_', '-')}", "no patch of a patient is drawn")
            for name in ("batch", "feature_patches", "score_patches")
        ),
    ):
        if given:
            raise UsageError(what, f"{where} with --epsilon", "leave it out")


def _how_to_continue(arguments: _Arguments, workers: "Workers") -> str:
    out = arguments.out
    if not (out / RECORD).exists():
        return "stopped before the first step; there is nothing to resume"
    words = ["gdshare", "distill", str(arguments.cohort.path), "--out", str(out), "--resume"]
    words += ["--workers", str(workers.size)] if workers.size > 1 else []
    words += ["--tensorboard"] if arguments.tensorboard else []
    return f"stopped; continue with: {shlex.join(words)}"


def _figures(tick: "Tick") -> str:
    best = "-" if tick.best is None else f"{tick.best:.3f}"
    skipped = f"  skipped {tick.skipped}" if tick.skipped else ""
    return f"loss {tick.loss:.3f}  α̃ {tick.rate:.4f}  best {best}{skipped}"


def _device_for(arguments: _Arguments, workers: "Workers") -> str:
    """This process's device: the interrupted run's, or its own GPU among several workers."""
    import torch

    if arguments.resume and arguments.device == "auto" and workers.size == 1:
        return resolve_device(read_record(arguments.out).device)
    device = resolve_device(arguments.device)
    if device == "cuda" and workers.size > 1:
        return f"cuda:{workers.rank % torch.cuda.device_count()}"
    return device


def _initial_settings(out: Path, resume: bool) -> Settings:
    """The settings before any option: the interrupted run's, or the defaults with a fresh seed.

    The seed must be unguessable: whoever knows it can repeat the run's draws. A resumed run uses as
    many threads as before, since its bytes depend on their number.
    """
    if not resume:
        return Settings(seed=secrets.randbits(63))
    import torch

    record = read_record(out)
    torch.set_num_threads(record.threads)
    return record.settings


def register(app: typer.Typer) -> None:
    """Add ``distill`` to the app, with an option for every setting."""
    signature = inspect.signature(distill)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]

    def command(**arguments: Any) -> None:
        distill(**arguments)

    keyword_only = [p.replace(kind=p.KEYWORD_ONLY) for p in named] + options_of_settings()
    command.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    command.__annotations__ = {
        p.name: p.annotation for p in (*keyword_only, *options_of_settings())
    }
    command.__doc__ = distill.__doc__
    app.command("distill")(command)
