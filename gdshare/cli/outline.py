"""``gdshare outline``: convert the outline of any annotation tool to a mask or GeoJSON."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import AsJson, print_json, print_line
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.films import read_film


def outline(
    annotation: Annotated[
        Path,
        typer.Argument(
            help="Mask in PNG or TIFF, DICOM-SEG, LabelMe JSON, COCO JSON, CVAT for images XML or "
            "QuPath GeoJSON."
        ),
    ],
    film: Annotated[Path, typer.Option(help="The film that was outlined.")],
    out: Annotated[Path, typer.Option(help="File to write: .png for a mask, .geojson for QuPath.")],
    organ: Annotated[
        str | None,
        typer.Option(help="The organ's name in the file; required if there are several."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The film's name in the file, if the annotation tool renamed it.",
        ),
    ] = None,
    inside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VALUE",
            help="Value of a mask that is inside the organ, or a range such as 128-255; may be "
            "repeated. Default: the brighter of the mask's two values.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read an organ's outline from any annotation tool and write it as a mask or GeoJSON.

    The mask shows which pixels gdshare label counts as inside. Nothing is resized: an outline drawn
    at another size than the film's is refused. GeoJSON does not record that size; it is refused
    only if it extends beyond the film.
    """
    require_extra("films")
    from gdshare.films.film import warn_of_narrow_range
    from gdshare.films.mask import parse_interval
    from gdshare.films.outlines import WRITERS, read_annotations, write_outline

    if out.suffix.lower() not in WRITERS:
        raise UsageError("has no known suffix", f"--out {out}", f"end it in {' or '.join(WRITERS)}")
    if out.exists():
        raise UsageError("already exists", out, "choose another --out, or remove it first")
    intervals = [parse_interval(text) for text in inside or ()]
    shown = read_film(film)
    warn_of_narrow_range(shown)
    mask = read_annotations(annotation).outline(shown.shape, str(film), organ, image, intervals)
    name = mask.name
    write_outline(mask.inside, out, name)
    height, width = mask.inside.shape
    fraction = float(mask.inside.mean())
    if as_json:
        return print_json(
            {"out": str(out), "organ": name, "size": [width, height], "inside": fraction}
        )
    if name:
        print_line(f"organ   {name}")
    print_line(f"inside  {fraction:.2%} of {width} x {height} px")
    print_line(f"wrote   {out}")
    return None


def register(app: typer.Typer) -> None:
    """Add ``outline`` to the app."""
    app.command()(outline)
