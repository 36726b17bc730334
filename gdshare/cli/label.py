"""``gdshare label``: cut films into windows and label them by the outlined organ.

With ``--serve``: the page on which a person outlines it.
"""

import logging
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, print_json, print_line, print_table, progress
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.protocol import Protocol

if TYPE_CHECKING:
    from gdshare.cohort.store import CohortIndex

log = logging.getLogger(__name__)

DEFAULTS = Protocol()
MAX_SIZE_RATIO = 1.1
"""Between the largest and the smallest window on the patient, before a warning."""


def label(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CSV|STORE",
            help="Cohort table, one line per film: patient,image,mask,diagnosis and optionally "
            "split (train, val, test) and spacing_mm (pixel size). Or a store made by gdshare "
            "import, for its outlined films.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to create for the labelled cohort.")
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Serve a page on this machine to outline the films of a STORE; creates no cohort.",
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port of --serve on 127.0.0.1. Default: any free port."
        ),
    ] = 0,
    patch: Annotated[
        int, typer.Option(help="Side of a window on the film, px. Source: 299 on 2048 px films.")
    ] = DEFAULTS.patch,
    stride: Annotated[
        int, typer.Option(help="Step between windows, px. Source: 50.")
    ] = DEFAULTS.stride,
    outside: Annotated[
        float, typer.Option(help="Class I below this fraction of organ. Source: 0.01.")
    ] = DEFAULTS.outside,
    inside: Annotated[
        float, typer.Option(help="Class N or P above this fraction of organ. Source: 0.85.")
    ] = DEFAULTS.inside,
    side: Annotated[
        int, typer.Option(help="Side of the network's input, px. Source: 299.")
    ] = DEFAULTS.side,
    mean: Annotated[
        float,
        typer.Option(help="Subtracted from pixels in [0, 1]; fixed within a round."),
    ] = DEFAULTS.mean,
    std: Annotated[
        float, typer.Option(help="Divides the result; fixed within a round.")
    ] = DEFAULTS.std,
    resample_mm: Annotated[
        float | None,
        typer.Option(
            help="Pixel size, mm, that --patch and --stride refer to. Windows on films of another "
            "pixel size are scaled to cover the same area of the patient. Default: each film's own "
            "pixels.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Fractions of training, validation and test patients. Default: the table's "
            "column split, or 0.6,0.2,0.2."
        ),
    ] = None,
    organ: Annotated[
        str | None,
        typer.Option(help="The organ's name, if annotation files contain several outlines."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the split, unless the table has one.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Cut films into windows and label each I (outside the organ), N or P (inside, by diagnosis).

    Patients, never windows, are split into training, validation and test, with equal fractions of
    positives, unless the table has a column split. A film without a mask is used for classification
    only. The cohort stays at the hospital.
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
        raise _usage_error(error) from error
    if serve:
        if out or split or organ or as_json:
            raise UsageError(
                "--serve creates no cohort",
                remedy="leave out --out, --split, --organ and --json",
            )
        return _serve(source, protocol, port)
    if out is None:
        raise UsageError(
            "--out is missing", remedy="name the folder to create for the labelled cohort"
        )
    shares = None if split is None else _fractions(split)
    table = _table_of(source)
    with progress("labelling films") as report:
        index = label_cohort(table, out, protocol, shares, seed, report, organ)
    _warn(index)
    if as_json:
        return print_json({name: index.counts[name].model_dump() for name in SPLITS})
    columns = ("split", "negative", "positive", "films", "I", "N", "P", "discarded")
    rows = [(name, *index.counts[name].model_dump().values()) for name in SPLITS]
    print_table(f"{out}: patients, films and windows", columns, rows)
    return None


def _warn(index: "CohortIndex") -> None:
    missing = [
        f"{name} {kind.upper()}"
        for name in ("train", "val")
        for kind in ("i", "n", "p")
        if not getattr(index.counts[name], kind)
    ]
    if missing:
        log.warning(
            "warning: no window of %s, so gdshare distill will refuse this cohort; add films, or "
            "change the patch size or the split",
            ", ".join(missing),
        )
    smallest, largest = index.patch_mm or (0.0, 0.0)
    if largest > MAX_SIZE_RATIO * smallest:
        log.warning(
            "warning: a window covers from %.1f to %.1f mm of the patient, a ratio of more than "
            "%s; use the same pixel size for all films with --resample-mm",
            smallest,
            largest,
            MAX_SIZE_RATIO,
        )


def _serve(source: Path, protocol: Protocol, port: int) -> None:
    require_extra("dicom")
    from gdshare.label_page import serve
    from gdshare.store.folder import open_store

    def announce(address: str) -> None:
        print_line(f"open once, in a browser on this machine  {address}")
        print_line("outlines and diagnoses are saved at once; stop with Ctrl-C")

    serve(open_store(source), protocol, operator_name(), port, announce)
    words = ["gdshare label", quote(str(source)), *_as_options(protocol), "--out COHORT"]
    print_line(f"next  {' '.join(words)}")


def _table_of(source: Path) -> Path:
    """The table itself, or the table of a store's outlined films."""
    if not source.is_dir():
        return source
    from gdshare.store.folder import open_store
    from gdshare.store.table import omissions, write_table

    store = open_store(source)
    with progress("drawing masks") as report:
        table = write_table(store, report)
    if omitted := omissions(store):
        log.warning("omitted: %s (gdshare label --serve %s)", omitted, quote(str(source)))
    return table


def _as_options(protocol: Protocol) -> list[str]:
    """The values that differ from the defaults, as command-line options."""
    values = protocol.model_dump(exclude_defaults=True)
    return [f"--{name.replace('_', '-')} {value}" for name, value in values.items()]


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            "not three numbers",
            f"--split {text}",
            "separate them by commas, such as 0.6,0.2,0.2",
        ) from error
    return train, val, test


def _usage_error(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    option = f"--{str(first['loc'][0]).replace('_', '-')}" if first["loc"] else ""
    return UsageError(first["msg"], option, "see gdshare label --help")


def register(app: typer.Typer) -> None:
    """Add ``label`` to the app."""
    app.command()(label)
