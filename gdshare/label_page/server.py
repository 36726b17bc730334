"""What the page asks and what it is answered; JSON but for pixels and the page's own files.

::

    GET /                             the page
    GET /static/PATH                  its files
    GET /api/films                    protocol, and every film with its state
    GET /api/totals                   windows over all films that are ready
    GET /api/films/FILM               one film: drawing, version, grid
    GET /api/films/FILM/pixels        16-bit gray, little-endian, row by row
    PUT /api/films/FILM/outline       save a drawing; 409: somebody else changed it since

A refusal is ``{"error": "one sentence"}``.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from pydantic import Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gdshare.errors import GdshareError
from gdshare.label_page.assets import Asset, assets
from gdshare.label_page.grid import count, paint
from gdshare.label_page.pictures import picture
from gdshare.protocol import Protocol
from gdshare.store.folder import Store
from gdshare.store.outline import Drawing, Outline, StaleError, outline_of, save_outline
from gdshare.store.record import Frozen, StoredFilm

MAX_BODY = 1024**2
"""Bytes: an outline of the most points that the store takes."""


class Save(Frozen):
    """The body of a PUT."""

    drawing: Drawing
    based_on: int = Field(ge=0)


@dataclass(frozen=True)
class Page:
    """All that answers depend on.

    Attributes:
        store: of the films.
        protocol: of the grid.
        now: UTC.
    """

    store: Store
    protocol: Protocol
    now: Callable[[], datetime]

    def films(self, request: Request) -> Response:
        """List all films but rejected ones, with the protocol."""
        shown = [film for film in self.store.films() if film.state != "rejected"]
        drawn = {film.film: outline_of(self.store, film.film) for film in shown}
        diagnoses: dict[str, set[str]] = {}
        for film in shown:
            told = drawn[film.film].drawing.diagnosis
            diagnoses.setdefault(film.patient, set()).update(() if told is None else (told,))
        return JSONResponse(
            {
                "store": str(self.store.path),
                "protocol": self.protocol.model_dump(mode="json"),
                "films": [
                    {
                        "film": film.film,
                        "patient": film.patient,
                        "state": film.state,
                        "outlined": bool(drawn[film.film].drawing.polygons),
                        "diagnosis": drawn[film.film].drawing.diagnosis,
                        "contradicted": len(diagnoses[film.patient]) > 1,
                    }
                    for film in shown
                ],
            }
        )

    def totals(self, request: Request) -> Response:
        """Sum the windows of all films that ``gdshare label`` would take."""
        total: Counter[str] = Counter()
        for film in self.store.films():
            drawing = outline_of(self.store, film.film).drawing
            if film.state == "released" and drawing.polygons and drawing.diagnosis:
                total.update(films=1, **asdict(count(film, drawing, self.protocol)))
        names = ("films", "i", "n", "p", "discarded")
        return JSONResponse({name: total[name] for name in names})

    def film(self, request: Request) -> Response:
        """One film without its pixels."""
        film = self._released(request)
        outline = outline_of(self.store, film.film)
        return JSONResponse(
            {**self._told(film, outline), "width": film.columns, "height": film.rows}
        )

    def pixels(self, request: Request) -> Response:
        """One film's pixels."""
        shown = picture(self.store.pixels(self._released(request)))
        size = {"x-width": str(shown.width), "x-height": str(shown.height)}
        return Response(shown.data, media_type="application/octet-stream", headers=size)

    async def save(self, request: Request) -> Response:
        """Save a drawing and answer its grid."""
        if request.headers.get("content-type") != "application/json":
            raise HTTPException(415, "a drawing is sent as application/json")
        try:
            wanted = Save.model_validate_json(await _body(request))
        except ValidationError as error:
            first = error.errors()[0]
            raise HTTPException(422, f"not a drawing: {first['msg']}; draw it again") from error
        return await run_in_threadpool(self._save, request, wanted)

    def _save(self, request: Request, wanted: Save) -> Response:
        film = self._released(request)
        saved = save_outline(self.store, film, wanted.drawing, wanted.based_on, self.now())
        return JSONResponse(self._told(film, saved))

    def _told(self, film: StoredFilm, outline: Outline) -> dict[str, object]:
        painting = paint(film, outline.drawing, self.protocol)
        return {**outline.model_dump(mode="json"), "grid": asdict(painting)}

    def _released(self, request: Request) -> StoredFilm:
        try:
            film = self.store.record(request.path_params["film"])
        except GdshareError as error:
            raise HTTPException(404, str(error)) from error
        if film.state != "released":
            raise HTTPException(403, f"{film.film}: is {film.state}; see gdshare review")
        return film


def label_app(store: Store, protocol: Protocol, now: Callable[[], datetime]) -> Starlette:
    """Make the application; whoever serves it puts a ``Door`` before it."""
    page, files = Page(store, protocol, now), assets()

    def static(request: Request) -> Response:
        found = files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404, "no such file")
        return _file(found)

    return Starlette(
        routes=[
            Route("/", lambda request: _file(files["index.html"])),
            Route("/static/{path:path}", static),
            Route("/api/films", page.films),
            Route("/api/totals", page.totals),
            Route("/api/films/{film}", page.film),
            Route("/api/films/{film}/pixels", page.pixels),
            Route("/api/films/{film}/outline", page.save, methods=["PUT"]),
        ],
        exception_handlers={HTTPException: _refused, GdshareError: _told},
    )


async def _body(request: Request) -> bytes:
    """Read no more than ``MAX_BODY``, whatever the header says of its length."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"larger than {MAX_BODY:,} bytes; draw with fewer points")
    return bytes(body)


def _file(asset: Asset) -> Response:
    # The type is given whole: starlette would add a second charset.
    return Response(asset.content, headers={"content-type": asset.media_type})


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    reason = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"error": reason}, status)


def _told(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, StaleError) else 422)
