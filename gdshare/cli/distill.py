"""``gdshare distill``: turn a cohort's training patches into a few soft-labelled images."""

import inspect
import os
import secrets
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gdshare.cli.interruption import asked_to_stop
from gdshare.cli.terminal import AsJson, Device, chosen_device, print_json, progress_bar
from gdshare.distill.folder import PREVIEW, RECORD, RESULT, read_record
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.method import BY_NETWORK, Method, Settings
from gdshare.report.preview import render_preview
from gdshare.storage import write_bytes

if TYPE_CHECKING:
    from gdshare.cohort import Cohort
    from gdshare.distill.loop import Outcome, Tick
    from gdshare.distill.workers import Workers


def distill(
    cohort: Annotated[Path, typer.Argument(help="A labelled cohort, made by `gdshare label`.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of the options below; options given here win over it."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")
    ] = False,
    device: Device = "auto",
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that share the --draws of each step; the bytes stay the same."
        ),
    ] = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files for TensorBoard to --out too.")
    ] = False,
    as_json: AsJson = False,
    **knobs: Any,
) -> None:
    """Distil the training patches into a few images with soft labels and learned rates.

    Algorithm 1 of Li et al. 2020. Each option names the source's value, or "not given" with that of
    Wang et al.'s code. Ctrl-C ends the run after its current step; from there, or after a power
    cut, --resume goes on, and on a CPU ends with the bytes of a run never interrupted.
    """
    require_extra("distill")
    from gdshare.cohort import open_cohort
    from gdshare.distill.precision import fitted
    from gdshare.distill.workers import join, spawn_workers

    given = {k: v for k, v in knobs.items() if v is not None}
    settings = read_settings(config, given, _start(out, resume))
    if not resume:
        settings = fitted(settings, chosen_device(device))
    if workers > settings.draws:
        raise UsageError(
            f"--workers {workers} for --draws {settings.draws}: a draw is one process's work",
            remedy="take more draws a step (they improve each step), or fewer workers",
        )
    call = _Call(open_cohort(cohort), out, settings, device, resume, tensorboard)
    if workers > 1 and "WORLD_SIZE" not in os.environ:
        if not resume and "OMP_NUM_THREADS" not in os.environ:
            _share_cores(workers)
        with spawn_workers(
            workers, [sys.executable, "-m", "gdshare", *_without_seed(sys.argv[1:])]
        ):
            outcome = _run(call, join())
    else:
        joined = join()
        if joined.size > settings.draws:
            raise UsageError(
                f"{joined.size} processes for --draws {settings.draws}: a draw is one "
                "process's work",
                remedy="start fewer, or take more draws a step",
            )
        outcome = _run(call, joined)
        if not joined.is_main:
            return
    write_bytes(out / PREVIEW, render_preview(outcome.distilled))
    _report(out, outcome, as_json)


def _share_cores(workers: int) -> None:
    """Several processes of as many threads as there are cores would crawl."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _without_seed(words: list[str]) -> list[str]:
    """A command line for the list of processes: the others read the seed in the run folder."""
    kept, skip = [], False
    for word in words:
        if skip or word.startswith("--seed="):
            skip = False
        elif word == "--seed":
            skip = True
        else:
            kept.append(word)
    return kept


@dataclass(frozen=True)
class _Call:
    """What was asked for."""

    cohort: "Cohort"
    out: Path
    settings: Settings
    device: str
    resume: bool
    tensorboard: bool


def _run(call: _Call, workers: "Workers") -> "Outcome":
    """Distil with a progress bar; Ctrl-C ends it after the current step."""
    from gdshare.distill.loop import StoppedError
    from gdshare.distill.loop import distill as run_distillation

    with (
        progress_bar(
            "loss {task.fields[loss]}  α̃ {task.fields[rate]}  best {task.fields[best]}"
            "{task.fields[skipped]}",
            hidden=not workers.is_main,
        ) as bar,
        asked_to_stop(say=workers.is_main) as stopping,
    ):
        fields: dict[str, Any] = {"loss": "-", "rate": "-", "best": "-", "skipped": ""}
        task = bar.add_task("distilling", total=call.settings.outer_steps, **fields)

        def show(tick: "Tick") -> None:
            bar.update(task, completed=tick.step, **_shown(tick))

        try:
            return run_distillation(
                call.cohort,
                call.out,
                call.settings,
                _device_of(call, workers),
                call.resume,
                show,
                stopping=stopping,
                workers=workers,
                tensorboard=call.tensorboard,
            )
        except (StoppedError, KeyboardInterrupt):
            bar.stop()
            if workers.is_main:
                typer.echo(_how_to_go_on(call, workers), err=True)
            raise typer.Exit(130) from None


def _how_to_go_on(call: _Call, workers: "Workers") -> str:
    if not (call.out / RECORD).exists():
        return "stopped before the run began; nothing is there to go on with"
    words = ["gdshare", "distill", str(call.cohort.path), "--out", str(call.out), "--resume"]
    words += ["--workers", str(workers.size)] if workers.size > 1 else []
    words += ["--tensorboard"] if call.tensorboard else []
    return f"stopped; go on with: {shlex.join(words)}"


def _shown(tick: "Tick") -> dict[str, Any]:
    return {
        "loss": f"{tick.loss:.3f}",
        "rate": f"{tick.rate:.4f}",
        "best": "-" if tick.best is None else f"{tick.best:.3f}",
        "skipped": f"  skipped {tick.skipped}" if tick.skipped else "",
    }


def _device_of(call: _Call, workers: "Workers") -> str:
    """The device of this process: the interrupted run's, or with several GPUs one for each."""
    import torch

    if call.resume and call.device == "auto" and workers.size == 1:
        return chosen_device(read_record(call.out).device)
    device = chosen_device(call.device)
    if device == "cuda" and workers.size > 1:
        return f"cuda:{workers.rank % torch.cuda.device_count()}"
    return device


def _start(out: Path, resume: bool) -> Settings:
    """What options change: the interrupted run's settings, or the defaults with a fresh seed.

    The seed is nobody's guess: who knows it can repeat a run's draws. A resumed run computes on as
    many threads as before, since its bytes depend on that.
    """
    if not resume:
        return Settings(seed=secrets.randbits(63))
    import torch

    record = read_record(out)
    torch.set_num_threads(record.threads)
    return record.settings


def read_settings(config: Path | None, given: dict[str, Any], start: Settings) -> Settings:
    """The start's values, then the file's, then those of the command line.

    Raises:
        UsageError: the file is unreadable, or a name or value is wrong.
    """
    values: dict[str, Any] = {}
    if config is not None:
        try:
            read = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(
                f"cannot be read as TOML ({error})", config, "write lines such as outer-steps = 400"
            ) from error
        values = {name.replace("-", "_"): value for name, value in read.items()}
    try:
        return Settings(**(start.model_dump(exclude_unset=True) | values | given))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""  # none: values that do not go together
        where = "" if name in given or config is None else f"{config}: "
        if not name and config is not None and given:
            where = f"{config} with the options given: "
        what = f"{name.replace('_', '-')}: " if name else ""
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}{what}{reason}", remedy="see gdshare distill --help") from error


def _report(out: Path, outcome: "Outcome", as_json: bool) -> None:
    score = outcome.score
    if as_json:
        return print_json(
            {
                "distilled": str(out / RESULT),
                "preview": str(out / PREVIEW),
                "step": outcome.step,
                "patch_score": score.mean,
                "patch_score_deviation": score.deviation,
                "patch_score_low": score.lower if len(score.values) > 1 else None,
                "inits": len(score.values),
                "at_chance": outcome.at_chance,
            }
        )
    several = f"deviation {score.deviation:.3f} over {len(score.values)} fresh θ0"
    seen = several if len(score.values) > 1 else "from one θ0"
    typer.echo(
        f"patch score {score.mean:.3f} ({seen}, validation patients, step {outcome.step}; "
        "guessing is 0.333)"
    )
    typer.echo(f"images      {out / RESULT}\npicture     {out / PREVIEW}")
    if outcome.at_chance:
        typer.echo(
            "warning: this result cannot be told from guessing; train longer, or look at the films "
            "and their outlines before publishing it",
            err=True,
        )
    return None


UNSET = {"seed": "random", "precision": "as fits the machine"}
"""What the help says of options whose default is decided when a run begins."""


def _options() -> list[inspect.Parameter]:
    """One command-line option for each knob that has a choice, told by its description."""
    options = []
    for name, field in Settings.model_fields.items():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            continue
        options.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[field.annotation | None, _option(name, field)],  # type: ignore[operator]
            )
        )
    return options


def _option(name: str, field: FieldInfo) -> Any:
    flag = f"--{name.replace('_', '-')}"
    panel = "Algorithm 1" if name in Method.model_fields else "Housekeeping"
    return typer.Option(
        flag,
        help=field.description,
        rich_help_panel=panel,
        show_default=_default_of(name, field),
    )


def _default_of(name: str, field: FieldInfo) -> str:
    if name in BY_NETWORK:
        return ", ".join(f"{value} with {key}" for key, value in BY_NETWORK[name].items())
    return UNSET.get(name, str(field.default))


def register(app: typer.Typer) -> None:
    """Add ``distill`` to the app, with an option for every knob in ``Settings``."""
    fixed = inspect.signature(distill)
    named = [p for p in fixed.parameters.values() if p.kind is not p.VAR_KEYWORD]

    def command(**arguments: Any) -> None:
        distill(**arguments)

    keyword_only = [p.replace(kind=p.KEYWORD_ONLY) for p in named]
    command.__signature__ = fixed.replace(parameters=[*keyword_only, *_options()])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*keyword_only, *_options())}
    command.__doc__ = distill.__doc__
    app.command("distill")(command)
