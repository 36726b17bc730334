"""``gdshare label``: cut films into windows and label them by the outlined organ.

With ``--serve``: the page on which a person outlines it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from gdshare.cli.defaults import typed
from gdshare.cli.intake import store_of_table
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import (
    AsJson,
    print_json,
    print_line,
    print_next,
    print_table,
)
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.next_steps import commands
from gdshare.progress import progress
from gdshare.protocol import Protocol, Tone

if TYPE_CHECKING:
    from gdshare.cohort.store import CohortIndex
    from gdshare.patches import Geometry
    from gdshare.store import Store

log = logging.getLogger(__name__)

DEFAULTS = Protocol()
AUTO = "auto"
"""As fits the films, in place of a number of pixels."""
MAX_SIZE_RATIO = 1.1
"""Between the largest and the smallest window on the patient, before a warning."""


def label(
    source: Annotated[
        Path,
        typer.Argument(
            envvar=variable("store"),
            metavar="CSV|STORE",
            help="Cohort table, one line per film: patient,image,mask,diagnosis and optionally "
            "split (train, val, test) and spacing_mm (pixel size). Or a store made by gdshare "
            "import, for its outlined films.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(envvar=variable("cohort"), help="Folder to create for the labelled cohort."),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Serve a page on this machine to outline the films of a STORE, or of a CSV, which "
            "are imported into CSV-store beside it; creates no cohort.",
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port of --serve on 127.0.0.1. Default: any free port."
        ),
    ] = 0,
    patch: Annotated[
        str,
        typer.Option(
            metavar="PX|auto",
            help="Side of a window on the film. Source: 299 on 2048 px films; auto: the same share "
            "of your films' (median) side. All hospitals of a round need one value.",
        ),
    ] = str(DEFAULTS.patch),
    stride: Annotated[
        str | None,
        typer.Option(
            metavar="PX|auto",
            help="Step between windows. Source: 50. Default: 50, or auto with --patch auto.",
        ),
    ] = None,
    outside: Annotated[
        float, typer.Option(help="Class I below this fraction of organ. Source: 0.01.")
    ] = DEFAULTS.outside,
    inside: Annotated[
        float, typer.Option(help="Class N or P above this fraction of organ. Source: 0.85.")
    ] = DEFAULTS.inside,
    side: Annotated[
        int,
        typer.Option(
            help="Side of the network's input, px; a window is resized to it. Source: 299."
        ),
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
    tone: Annotated[
        Tone,
        typer.Option(
            help="How each film's gray levels are harmonised before it is cut, so that detectors "
            "and vendors look alike. none: not at all; equalise: every gray equally often; levels: "
            "black point, white point and midtone as in an image editor, set by percentiles of "
            "what lies inside black and white frames; half: half way from there to every gray "
            "equally often. Uses nothing but the film. Source: not given.",
        ),
    ] = DEFAULTS.tone,
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

    protocol = _protocol(
        outside=outside,
        inside=inside,
        side=side,
        mean=mean,
        std=std,
        resample_mm=resample_mm,
        tone=tone,
    )
    lengths = _Lengths.read(patch, stride)
    if serve:
        if typed("out") or split or as_json:
            raise UsageError(
                "--serve creates no cohort", remedy="leave out --out, --split and --json"
            )
        require_extra("dicom")
        store = store_of_table(source, organ) if source.is_file() else source
        return _serve(store, protocol, lengths, port)
    if out is None:
        raise UsageError(
            "--out is missing", remedy="name the folder to create for the labelled cohort"
        )
    shares = None if split is None else _fractions(split)
    table = _table_of(source)
    protocol = lengths.applied_to(protocol, lambda: _measure(table, protocol))
    with progress("labelling films") as report:
        index = label_cohort(table, out, protocol, shares, seed, report, organ)
    _warn(index)
    if as_json:
        counts: dict[str, object] = {name: index.counts[name].model_dump() for name in SPLITS}
        return print_json(counts | {"protocol": protocol.model_dump()})
    columns = ("split", "negative", "positive", "films", "I", "N", "P", "discarded")
    rows = [(name, *index.counts[name].model_dump().values()) for name in SPLITS]
    print_table(f"{out}: patients, films and windows", columns, rows)
    chosen = (
        f"--patch {protocol.patch} --stride {protocol.stride} --side {protocol.side} "
        f"--tone {protocol.tone}"
    )
    print_line(f"protocol  {chosen} (every hospital of the round needs the same)")
    print_next(commands.distill(out))
    return None


@dataclass(frozen=True)
class _Lengths:
    """``--patch`` and ``--stride``; None: as fits the films."""

    patch: int | None
    stride: int | None

    @classmethod
    def read(cls, patch: str, stride: str | None) -> "_Lengths":
        side = _pixels("--patch", patch)
        if stride is None:
            return cls(side, None if side is None else DEFAULTS.stride)
        return cls(side, _pixels("--stride", stride))

    def applied_to(self, protocol: Protocol, measure: "Callable[[], Geometry]") -> Protocol:
        """The protocol with these lengths; ``measure`` looks at the films, if it is needed."""
        patch, stride = self.patch, self.stride
        if patch is None or stride is None:
            fitting = measure()
            patch = fitting.patch if patch is None else patch
            stride = fitting.stride if stride is None else stride
        return _protocol(**(protocol.model_dump() | {"patch": patch, "stride": stride}))


def _pixels(option: str, text: str) -> int | None:
    if text == AUTO:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(
            "not a number of pixels", f"{option} {text:.20}", f"give a whole number, or {AUTO}"
        ) from error


def _protocol(**values: Any) -> Protocol:
    try:
        return Protocol(**values)
    except ValidationError as error:
        raise _usage_error(error) from error


def _measure(table: Path, protocol: Protocol) -> "Geometry":
    """The source's proportions for a table's films, or for those of a store."""
    from gdshare.cohort import fitting_geometry

    with progress("measuring films") as report:
        return fitting_geometry(table, protocol, report)


def _measure_store(store: "Store", protocol: Protocol) -> "Geometry":
    from gdshare.label_page.grid import blank_film
    from gdshare.patches import Geometry, film_side

    sides = [
        film_side(blank_film(film), protocol) for film in store.films() if film.state != "rejected"
    ]
    if not sides:
        raise UsageError(
            "holds no film to measure", store.path, "give --patch and --stride in pixels"
        )
    return Geometry.for_sides(sides)


def _warn(index: "CohortIndex") -> None:
    named = {"training": index.counts["train"], "validation": index.counts["val"]}
    empty = [name for name, counts in named.items() if not counts.negative + counts.positive]
    if empty:
        log.warning(
            "warning: no outlined film of %s patients, so gdshare distill will refuse this cohort",
            " and ".join(empty),
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


def _serve(source: Path, agreed: Protocol, lengths: _Lengths, port: int) -> None:
    from gdshare.label_page import serve
    from gdshare.store.folder import open_store

    def announce(address: str) -> None:
        print_line(f"open once, in a browser on this machine  {address}")
        print_line("outlines and diagnoses are saved at once; stop with Ctrl-C")

    store = open_store(source)
    protocol = lengths.applied_to(agreed, lambda: _measure_store(store, agreed))
    serve(store, protocol, operator_name(), port, announce)
    print_next(commands.label(source, options=_as_options(protocol)))


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


def _as_options(protocol: Protocol) -> tuple[str, ...]:
    """The values that differ from the defaults, as command-line options."""
    values = protocol.model_dump(exclude_defaults=True)
    return tuple(f"--{name.replace('_', '-')} {value}" for name, value in values.items())


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
