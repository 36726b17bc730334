"""The page's HTTP API. All bodies are JSON, except for pixels and the page's own files.

::

    GET /                             the page
    GET /static/PATH                  its files
    GET /api/films                    protocol, and every film with its state
    GET /api/totals                   window counts over all films that are ready
    GET /api/films/FILM               a film: drawing, version, grid; if held, why
    GET /api/films/FILM/pixels        uint16 gray, little-endian, row by row
    GET /api/films/FILM/thumbnail     PNG
    PUT /api/films/FILM/outline       save a drawing; 409: it was changed since
    POST /api/films/FILM/review       release or reject a held film; 409: it was reviewed since

Errors are ``{"error": "one sentence"}``.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gdshare.errors import GdshareError
from gdshare.films.box import Box
from gdshare.label_page.grid import film_labels, window_counts
from gdshare.label_page.pictures import (
    OUTLINING_PIXELS,
    REVIEW_PIXELS,
    make_picture,
    make_thumbnail,
)
from gdshare.local_page.assets import assets
from gdshare.local_page.responses import (
    asset_response,
    error_response,
    http_error_response,
    json_body,
    static_route,
)
from gdshare.protocol import Protocol
from gdshare.store.folder import Store
from gdshare.store.outline import Drawing, Outline, load_outline, save_outline
from gdshare.store.record import MAX_REVIEWER, Decision, Frozen, State, StoredFilm
from gdshare.store.review import review_film

STATIC = Path(__file__).parent / "static"
MAX_BOXES = 1000
"""Per film; a person draws a few."""

_MAKING = Lock()
"""One thumbnail is made at a time: each takes a whole film in memory."""
_Model = TypeVar("_Model", bound=BaseModel)


class SaveRequest(Frozen):
    """The body of PUT outline."""

    drawing: Drawing
    based_on: int = Field(ge=0)


class ReviewRequest(Frozen):
    """The body of POST review.

    Attributes:
        decision, by: see ``Review``.
        boxes: to black out before a release.
        seen: how many reviews the page had seen.
    """

    decision: Decision
    by: Annotated[str, Field(min_length=1, max_length=MAX_REVIEWER)]
    boxes: Annotated[tuple[Box, ...], Field(max_length=MAX_BOXES)] = ()
    seen: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Api:
    """The handlers of the routes, and what they depend on.

    Attributes:
        store: the films' store.
        protocol: of the windows.
        now: returns UTC.
        reviewer: default name of the reviewer on the page.
    """

    store: Store
    protocol: Protocol
    now: Callable[[], datetime]
    reviewer: str

    def films(self, request: Request) -> Response:
        """List the protocol and all films except rejected ones."""
        films = [film for film in self.store.films() if film.state != "rejected"]
        drawings = {film.film: load_outline(self.store, film.film).drawing for film in films}
        diagnoses: dict[str, set[str]] = {}
        for film in films:
            diagnosis = drawings[film.film].diagnosis
            diagnoses.setdefault(film.patient, set()).update({diagnosis} if diagnosis else ())
        return JSONResponse(
            {
                "store": str(self.store.path),
                "reviewer": self.reviewer,
                "protocol": self.protocol.model_dump(mode="json"),
                "films": [
                    {
                        "film": film.film,
                        "patient": film.patient,
                        "state": film.state,
                        "outlined": bool(drawings[film.film].polygons),
                        "diagnosis": drawings[film.film].diagnosis,
                        "contradicted": len(diagnoses[film.patient]) > 1,
                    }
                    for film in films
                ],
            }
        )

    def totals(self, request: Request) -> Response:
        """Sum the window counts of all films that ``gdshare label`` would use."""
        total: Counter[str] = Counter()
        for film in self.store.films():
            drawing = load_outline(self.store, film.film).drawing
            if film.state == "released" and drawing.polygons and drawing.diagnosis:
                total.update(films=1, **asdict(window_counts(film, drawing, self.protocol)))
        names = ("films", "i", "n", "p", "discarded")
        return JSONResponse({name: total[name] for name in names})

    def film(self, request: Request) -> Response:
        """A film without its pixels."""
        film = self._film(request, "held", "released")
        body = {"state": film.state, "width": film.columns, "height": film.rows}
        if film.state == "held":
            return JSONResponse(body | _review_body(film))
        return JSONResponse(body | self._outline_body(film, load_outline(self.store, film.film)))

    def pixels(self, request: Request) -> Response:
        """A film's pixels."""
        film = self._film(request, "held", "released")
        max_pixels = REVIEW_PIXELS if film.state == "held" else OUTLINING_PIXELS
        picture = make_picture(self.store.pixels(film), max_pixels)
        size = {"x-width": str(picture.width), "x-height": str(picture.height)}
        return Response(picture.data, media_type="application/octet-stream", headers=size)

    def thumbnail(self, request: Request) -> Response:
        """A small picture for the list."""
        film = self._film(request, "held", "released")
        with _MAKING:
            return Response(_thumbnail(self.store, film), media_type="image/png")

    async def save(self, request: Request) -> Response:
        """Save a drawing; responds with its labelled windows."""
        body = _parse(SaveRequest, await json_body(request), "drawing", "draw it again")
        return await run_in_threadpool(self._save, request, body)

    def _save(self, request: Request, body: SaveRequest) -> Response:
        film = self._film(request, "released")
        outline = save_outline(self.store, film, body.drawing, body.based_on, self.now())
        return JSONResponse(self._outline_body(film, outline))

    async def review(self, request: Request) -> Response:
        """Release or reject a held film; responds with its new state."""
        body = _parse(ReviewRequest, await json_body(request), "review", "reload the page")
        return await run_in_threadpool(self._review, request, body)

    def _review(self, request: Request, body: ReviewRequest) -> Response:
        name = self._film(request, "held", "released", "rejected").film
        film = review_film(
            self.store, name, body.decision, body.by, self.now(), body.boxes, seen=body.seen
        )
        return JSONResponse({"state": film.state})

    def _outline_body(self, film: StoredFilm, outline: Outline) -> dict[str, object]:
        labels = film_labels(film, outline.drawing, self.protocol)
        spacing = {"spacing_mm": film.spacing_mm}
        return {**outline.model_dump(mode="json"), **spacing, "grid": asdict(labels)}

    def _film(self, request: Request, *states: State) -> StoredFilm:
        try:
            film = self.store.record(request.path_params["film"])
        except GdshareError as error:
            raise HTTPException(404, str(error)) from error
        if film.state not in states:
            raise HTTPException(403, f"{film.film}: is {film.state}")
        return film


@lru_cache(maxsize=4096)
def _thumbnail(store: Store, film: StoredFilm) -> bytes:
    """Some 10 KB each; a film that was reviewed since is made again."""
    return make_thumbnail(store.pixels(film))


def _review_body(film: StoredFilm) -> dict[str, object]:
    """Why a film is held; ``text`` is null if the detector has not run."""
    text = None if film.text is None else [asdict(box) for box in film.text]
    return {"reasons": film.reasons, "text": text, "seen": len(film.reviews)}


def _parse(model: type[_Model], body: bytes, name: str, remedy: str) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise HTTPException(422, f"not a {name} ({reason}); {remedy}") from error


def label_app(api: Api) -> Starlette:
    """The application, to be wrapped in ``AuthMiddleware``."""
    files = assets(STATIC)
    return Starlette(
        routes=[
            Route("/", lambda request: asset_response(files["index.html"])),
            static_route(files),
            Route("/api/films", api.films),
            Route("/api/totals", api.totals),
            Route("/api/films/{film}", api.film),
            Route("/api/films/{film}/pixels", api.pixels),
            Route("/api/films/{film}/thumbnail", api.thumbnail),
            Route("/api/films/{film}/outline", api.save, methods=["PUT"]),
            Route("/api/films/{film}/review", api.review, methods=["POST"]),
        ],
        exception_handlers={HTTPException: http_error_response, GdshareError: error_response},
    )
