"""``gdshare outline``: turn the outline of any tool into a mask or GeoJSON."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import AsJson, print_json
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
    film: Annotated[Path, typer.Option(help="The film it was drawn on.")],
    out: Annotated[Path, typer.Option(help="File to make: .png for a mask, .geojson for QuPath.")],
    organ: Annotated[
        str | None,
        typer.Option(help="The organ's name in the file; needed if it has several."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read an organ's outline from any tool, write it as a mask or GeoJSON.

    Looking at the mask over the film shows what gdshare label will take for inside. Nothing is
    resized: an outline drawn at another size than its film's is refused. GeoJSON does not say at
    which size it was drawn; it is refused only where it reaches beyond the film.
    """
    require_extra("films")
    from gdshare.films.outlines import WRITERS, read_annotations, write_outline

    if out.suffix.lower() not in WRITERS:
        raise UsageError(f"--out {out}: end it in {' or '.join(WRITERS)}, for the format to write")
    if out.exists():
        raise UsageError("already exists", out, "choose another --out, or remove it first")
    found = read_annotations(annotation).outline(read_film(film).shape, str(film), organ)
    write_outline(found.inside, out, found.name)
    height, width = found.inside.shape
    share = float(found.inside.mean())
    if as_json:
        return print_json(
            {"out": str(out), "organ": found.name, "size": [width, height], "inside": share}
        )
    if found.name:
        typer.echo(f"organ   {found.name}")
    typer.echo(f"inside  {share:.2%} of {width} x {height} px")
    typer.echo(f"made    {out}")
    return None


def register(app: typer.Typer) -> None:
    """Add ``outline`` to the app."""
    app.command()(outline)
