"""``gdshare next``: what waits in a site's folders, and the command for it."""

from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import AsJson, print_json, print_line, print_next, spelled
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.next_steps import Step, hospital_steps
from gdshare.next_steps.hospital import Places
from gdshare.next_steps.read_hospital import read_hospital

ENTRY_POINTS, PROVIDER = "gdshare.commands", "next_steps"
"""A module of this group may have a function of this name: (trust folder, now) -> steps."""


def following(
    site: Annotated[
        str | None, typer.Option(envvar=variable("site"), help="The hospital's short name.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(envvar=variable("store"), help="Imported films.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(envvar=variable("cohort"), help="Labelled patches.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(envvar=variable("run"), help="A run of gdshare distill.")
    ] = None,
    prepared: Annotated[
        Path | None, typer.Option(envvar=variable("prepared"), help="What would leave.")
    ] = None,
    outbox: Annotated[
        Path | None, typer.Option(envvar=variable("outbox"), help="What the node hands over.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(envvar=variable("key"), help="The private key that signs.")
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            envvar=variable("trust"),
            help="At an aggregator: the hospitals' public keys. Requests, withdrawals and rounds "
            "are looked for beside it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what waits here, in the order of the work, and the command for each.

    It reads the folders that gdshare.toml names, or that you name, and changes nothing. Whatever
    cannot be read is said first. With --json: a list of what waits, each with its command, or null
    where no command can do it.
    """
    places = Places(site, store, cohort, run, prepared, outbox, key)
    has_hospital = any((store, cohort, run, prepared, outbox))
    if not has_hospital and trust is None:
        raise UsageError(
            "no folder is known whose state could be told",
            remedy="gdshare config new writes a gdshare.toml that names them",
        )
    steps = hospital_steps(read_hospital(places)) if has_hospital else ()
    if trust is not None:
        steps += _others_steps(trust, datetime.now(UTC))
    if as_json:
        return print_json([_as_data(step) for step in steps])
    for step in steps:
        print_line(step.what)
        if step.command is not None:
            print_next(step.command)
    if not steps:
        print_line("nothing waits")
    return None


def _others_steps(trust: Path, now: datetime) -> tuple[Step, ...]:
    """What waits at the aggregator, told by its own package, which this one does not import."""
    steps: tuple[Step, ...] = ()
    for point in sorted(entry_points(group=ENTRY_POINTS)):
        provider = getattr(import_module(point.module), PROVIDER, None)
        if provider is not None:
            steps += provider(trust, now)
    return steps


def _as_data(step: Step) -> dict[str, str | None]:
    return {"what": step.what, "command": None if step.command is None else spelled(step.command)}


def register(app: typer.Typer) -> None:
    """Add ``next`` to the app."""
    app.command("next")(following)
