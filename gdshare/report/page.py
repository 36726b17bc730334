"""A page for people: one HTML file that opens offline, prints, and can be heard.

It has no script and loads nothing. What a page says comes from its builder; this module only gives
it its form. Everything but the pictures is escaped.

::

    page = Page("A round", "Pooled, ...", lead=Picture.drawn(...), sections=(...))
    write_page(out / "report.html", page)
"""

import base64
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from gdshare import __version__
from gdshare.storage import write_bytes

PAGE = "report.html"
RESEARCH = "For research only; not a medical device."


@dataclass(frozen=True)
class Picture:
    """A picture with its words.

    Attributes:
        markup: an SVG or an img element.
        words: what it shows, for who does not see it.
        caption: below it.
    """

    markup: Markup
    words: str
    caption: str = ""

    @classmethod
    def drawn(cls, svg: str, words: str, caption: str = "") -> "Picture":
        """An SVG of ``pictures``."""
        return cls(Markup(svg), words, caption)  # noqa: S704 - drawn here, from figures

    @classmethod
    def photographed(cls, image: Image.Image, words: str, caption: str = "") -> "Picture":
        """A picture of pixels, within the page itself; its words become its alternative text.

        Colours as JPEG, which is a tenth of the size on films; gray as PNG, exactly.
        """
        stream, kind = io.BytesIO(), "png" if image.mode == "L" else "jpeg"
        image.save(stream, kind, quality=88)
        data = base64.b64encode(stream.getvalue()).decode("ascii")
        markup = Markup('<img alt="{}" src="data:image/{};base64,{}">').format(words, kind, data)
        return cls(markup, "", caption)


@dataclass(frozen=True)
class Table:
    """Cells of text; the first of each row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of a page: paragraphs, then pictures, then tables, then commands to copy."""

    title: str
    paragraphs: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        title: what it is about.
        verdict: the one sentence to remember.
        lead: the one picture to remember.
        notes: what the reader must know to trust the sentence.
        sections: everything else.
    """

    title: str
    verdict: str
    lead: Picture | None = None
    notes: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()


def render(page: Page) -> bytes:
    """The page as HTML. Deterministic."""
    html: str = (
        _environment()
        .get_template("page.html.jinja")
        .render(page=page, version=__version__, research=RESEARCH)
    )
    return html.encode()


def write_page(path: Path, page: Page) -> Path:
    """Write a page, whole or not at all; its path."""
    write_bytes(path, render(page))
    return path


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("gdshare.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
