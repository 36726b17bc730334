"""``gdshare label``: cut films into patches and label them by the outlined organ.

With ``--serve``: the page on which a person outlines it.
"""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
from pydantic import ValidationError

from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, print_json, print_table, progress
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.protocol import Protocol

DEFAULTS = Protocol()
ALIKE = 1.1
"""Films whose windows differ in size on the patient by no more than this ratio pass for alike."""


def label(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CSV|STORE",
            help="Cohort table: patient,image,mask,diagnosis and, if you like, split "
            "(train, val, test) and spacing_mm (side of a pixel); a line a film. Or the store that "
            "gdshare import made: its outlined films.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to make for the labelled cohort.")
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Open a page on this machine to outline the films of a STORE; makes no cohort.",
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Of --serve, on 127.0.0.1. Without it: any free one."),
    ] = 0,
    patch: Annotated[
        int, typer.Option(help="Side of a window on the film, px. Source: 299 on 2048 px films.")
    ] = DEFAULTS.patch,
    stride: Annotated[
        int, typer.Option(help="Step from window to window, px. Source: 50.")
    ] = DEFAULTS.stride,
    outside: Annotated[
        float, typer.Option(help="Less organ than this share: class I. Source: 0.01.")
    ] = DEFAULTS.outside,
    inside: Annotated[
        float, typer.Option(help="More organ than this share: class N or P. Source: 0.85.")
    ] = DEFAULTS.inside,
    side: Annotated[
        int, typer.Option(help="Side of the network's input, px. Source: 299.")
    ] = DEFAULTS.side,
    mean: Annotated[
        float, typer.Option(help="Subtracted from pixels in [0, 1]; a constant of the round.")
    ] = DEFAULTS.mean,
    std: Annotated[
        float, typer.Option(help="Then divided by; a constant of the round.")
    ] = DEFAULTS.std,
    resample_mm: Annotated[
        float | None,
        typer.Option(
            help="Size of a pixel, mm, that --patch and --stride are told in. Films of other "
            "pixels are cut so that a window covers the same piece of the patient. Without it: "
            "each film's own pixels.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Shares of training, validation and test patients. Without it: the table's own "
            "column split, or else 0.6,0.2,0.2."
        ),
    ] = None,
    organ: Annotated[
        str | None,
        typer.Option(help="The organ's name, where annotation files hold several outlines."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides which patient goes where, unless the table does.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Cut films into windows and label each I (outside the organ), N or P (inside, by diagnosis).

    Patients, never windows, are split into training, validation and test, each with the same share
    of positives, unless the table has a column split that says where each goes. A film without a
    mask is kept for classification only. The cohort stays at the hospital.
    """
    require_extra("films")
    from gdshare.cohort import SPLITS, label_cohort

    try:
        protocol = Protocol(
            patch=patch,
            stride=stride,
            outside=outside,
            inside=inside,
            side=side,
            mean=mean,
            std=std,
            resample_mm=resample_mm,
        )
    except ValidationError as error:
        raise UsageError(_in_words(error)) from error
    if serve:
        if out or split or organ or as_json:
            raise UsageError(
                "--serve makes no cohort, so --out, --split, --organ and --json go without it"
            )
        return _serve(source, protocol, port)
    if out is None:
        raise UsageError(
            "--out is missing", remedy="name the folder to make for the labelled cohort"
        )
    shares = None if split is None else _fractions(split)
    table = _table_of(source)
    with progress("labelling films") as report:
        index = label_cohort(table, out, protocol, shares, seed, report, organ)
    lacking = [
        f"{name} {kind.upper()}"
        for name in ("train", "val")
        for kind in ("i", "n", "p")
        if not getattr(index.counts[name], kind)
    ]
    if lacking:
        typer.echo(
            f"warning: no window of {', '.join(lacking)}: gdshare distill will refuse this cohort; "
            "add films, or change the patch size or the split",
            err=True,
        )
    if index.patch_mm is not None and index.patch_mm[1] > ALIKE * index.patch_mm[0]:
        typer.echo(
            f"warning: a window covers from {index.patch_mm[0]:.1f} to {index.patch_mm[1]:.1f} mm "
            f"of the patient, more than {ALIKE} times as much on one film as on another; bring "
            "them to one pixel size with --resample-mm",
            err=True,
        )
    if as_json:
        return print_json({name: index.counts[name].model_dump() for name in SPLITS})
    columns = ("split", "negative", "positive", "films", "I", "N", "P", "discarded")
    rows = [(name, *index.counts[name].model_dump().values()) for name in SPLITS]
    print_table(f"{out}: patients, films and windows", columns, rows)
    return None


def _serve(source: Path, protocol: Protocol, port: int) -> None:
    require_extra("dicom")
    from gdshare.label_page import serve
    from gdshare.store.folder import open_store

    def announce(address: str) -> None:
        typer.echo(f"open in a browser of this machine, once  {address}")
        typer.echo("every outline and diagnosis is saved at once; stop with Ctrl-C")

    serve(open_store(source), protocol, operator_name(), port, announce)
    words = ["gdshare label", quote(str(source)), *_as_options(protocol), "--out COHORT"]
    typer.echo(f"go on with  {' '.join(words)}")


def _table_of(source: Path) -> Path:
    """The table itself, or the one that a store's outlined films make."""
    if not source.is_dir():
        return source
    from gdshare.store.folder import open_store
    from gdshare.store.table import left_out, write_table

    store = open_store(source)
    with progress("drawing masks") as report:
        table = write_table(store, report)
    if lacking := left_out(store):
        typer.echo(f"left out: {lacking} (gdshare label --serve {quote(str(source))})", err=True)
    return table


def _as_options(protocol: Protocol) -> list[str]:
    """What is not as by default, as it is typed."""
    told = protocol.model_dump(exclude_defaults=True)
    return [f"--{name.replace('_', '-')} {value}" for name, value in told.items()]


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--split {text}: give three numbers with commas between, such as 0.6,0.2,0.2"
        ) from error
    return train, val, test


def _in_words(error: ValidationError) -> str:
    first = error.errors()[0]
    option = f"--{str(first['loc'][0]).replace('_', '-')}: " if first["loc"] else ""
    return f"{option}{first['msg']}; see gdshare label --help"


def register(app: typer.Typer) -> None:
    """Add ``label`` to the app."""
    app.command()(label)
