"""``gdshare publish``: turn a finished run into a signed bundle in the outbox."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from gdshare.bundle import (
    BundleError,
    Manifest,
    build_files,
    describe_run,
    fingerprint,
    load_private_key,
    next_sequence,
    read_tensors,
    verify_folder,
    write_bundle,
)
from gdshare.bundle.errors import SEND_AGAIN
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.distill.settings import RunRecord
from gdshare.distill.synthetic import Distilled
from gdshare.errors import RunError
from gdshare.report.preview import render_preview


def publish(
    run: Annotated[Path, typer.Argument(help="A finished run, made by `gdshare distill`.")],
    key: Annotated[Path, typer.Option(help="The hospital's private key, NAME.key.")],
    outbox: Annotated[Path, typer.Option(help="Folder from which bundles are handed over.")],
    site: Annotated[str, typer.Option(help="The hospital's short name, told to the others.")],
    expires_days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days after which nobody may use the bundle.")
    ] = 365,
    sequence: Annotated[
        int | None,
        typer.Option(min=1, help="The bundle's number. Without it: the outbox's next."),
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Sign what a run distilled and put it into the outbox, from where it may leave.

    The bundle holds the distilled images, their labels and learning rates, the method, the patch
    protocol and total counts. It never holds the run's seed, a path, or anything of one patient.
    Text and picture are drawn anew from those numbers, and no other file of the run goes in.
    """
    record = read_record(run / "run.json")
    manifest = describe_run(
        record,
        site=site,
        sequence=next_sequence(outbox, site) if sequence is None else sequence,
        now=datetime.now(UTC),
        lifetime=timedelta(days=expires_days),
    )
    distilled = read_distilled(run / "distilled.safetensors", manifest)
    signing_key = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    files = build_files(manifest, distilled, render_preview(distilled), signing_key)
    folder = write_bundle(outbox, files)
    # What is reported is what lies on the disk, read back by the rules its readers will apply.
    bundle = verify_folder(folder, signing_key.public_key(), datetime.now(UTC))
    typer.echo(f"bundle       {folder}")
    typer.echo(f"digest       {bundle.digest}")
    typer.echo(f"signed with  {fingerprint(signing_key.public_key())}")
    typer.echo(f"expires      {manifest.expires:%Y-%m-%d}")


def read_run_file(path: Path) -> bytes:
    """Read one file of a run.

    Raises:
        RunError: it is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as fault:
        raise RunError(
            f"{path} cannot be read ({fault.strerror}); give the folder of a finished "
            "`gdshare distill`"
        ) from None


def read_record(path: Path) -> RunRecord:
    """Read ``run.json``.

    Raises:
        RunError: missing, or not a run's record.
    """
    content = read_run_file(path)
    try:
        return RunRecord.model_validate_json(content)
    except ValidationError as fault:
        first = fault.errors(include_input=False)[0]
        raise RunError(
            f"{path} is not the record of a run ({'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}); distil again"
        ) from None


def read_distilled(path: Path, manifest: Manifest) -> Distilled:
    """Read the run's result by the same rules that its readers will apply.

    Raises:
        RunError: missing, or not what ``run.json`` describes.
    """
    content = read_run_file(path)
    try:
        return read_tensors(content, manifest)
    except BundleError as fault:
        reason = str(fault).removesuffix(f"; {SEND_AGAIN}")
        raise RunError(f"{path} cannot be published: {reason}; distil again") from None


def register(app: typer.Typer) -> None:
    """Add ``publish`` to the app."""
    app.command()(publish)
