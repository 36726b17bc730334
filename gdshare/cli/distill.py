"""``gdshare distill``: turn a cohort's training patches into a few soft-labelled images."""

import inspect
import secrets
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gdshare.cli.terminal import AsJson, Device, chosen_device, print_json, progress_bar
from gdshare.cohort import open_cohort
from gdshare.distill.folder import PREVIEW, RESULT, read_record
from gdshare.distill.settings import Method, Settings
from gdshare.errors import UsageError
from gdshare.report.preview import render_preview
from gdshare.storage import write_bytes

if TYPE_CHECKING:
    from gdshare.distill.loop import Outcome, Tick


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
    as_json: AsJson = False,
    **knobs: Any,
) -> None:
    """Distil the training patches into a few images with soft labels and learned rates.

    Algorithm 1 of Li et al. 2020. Each option names the source's value, or "not given" with that of
    Wang et al.'s code. Interrupted by Ctrl-C or a power cut, --resume goes on, and on a CPU ends
    with the same bytes as a run that was never interrupted.
    """
    from gdshare.distill.loop import distill as run_distillation

    given = {k: v for k, v in knobs.items() if v is not None}
    settings = read_settings(config, given, _start(out, resume))
    labelled = open_cohort(cohort)
    with progress_bar(
        "loss {task.fields[loss]}  α̃ {task.fields[rate]}  best {task.fields[best]}"
    ) as bar:
        task = bar.add_task("distilling", total=settings.outer_steps, loss="-", rate="-", best="-")

        def show(tick: "Tick") -> None:
            best = "-" if tick.best is None else f"{tick.best:.3f}"
            loss, rate = f"{tick.loss:.3f}", f"{tick.rate:.4f}"
            bar.update(task, completed=tick.step, loss=loss, rate=rate, best=best)

        try:
            outcome = run_distillation(labelled, out, settings, chosen_device(device), resume, show)
        except KeyboardInterrupt:
            bar.stop()
            typer.echo(
                f"stopped; go on with: gdshare distill {cohort} --out {out} --resume", err=True
            )
            raise typer.Exit(130) from None
    write_bytes(out / PREVIEW, render_preview(outcome.distilled))
    _report(out, outcome, as_json)


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
                f"{config}: cannot be read as TOML ({error}); write lines such as outer-steps = 400"
            ) from error
        values = {name.replace("-", "_"): value for name, value in read.items()}
    try:
        return Settings(**(start.model_dump() | values | given))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = "" if name in given or config is None else f"{config}: "
        raise UsageError(
            f"{where}{name.replace('_', '-')}: {first['msg']}; see gdshare distill --help"
        ) from error


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
    typer.echo(
        f"patch score {score.mean:.3f} (deviation {score.deviation:.3f} over {len(score.values)} "
        f"fresh θ0, validation patients, step {outcome.step}; guessing is 0.333)"
    )
    typer.echo(f"images      {out / RESULT}\npicture     {out / PREVIEW}")
    if outcome.at_chance:
        typer.echo(
            "warning: this result cannot be told from guessing; train longer, or look at the films "
            "and their outlines before publishing it",
            err=True,
        )
    return None


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
        show_default="random" if name == "seed" else str(field.default),
    )


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
