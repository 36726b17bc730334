"""What the page asks and what it is answered; JSON but for pixels and the page's own files.

::

    GET /                             the page
    GET /static/PATH                  its files
    GET /api/films                    protocol, and every film with its state
    GET /api/totals                   windows over all films that are ready
    GET /api/films/FILM               one film: drawing, version, grid; of a held one, why it is
    GET /api/films/FILM/pixels        16-bit gray, little-endian, row by row
    PUT /api/films/FILM/outline       save a drawing; 409: somebody else changed it since
    POST /api/films/FILM/review       release or reject a held film; 409: somebody else has decided

A refusal is ``{"error": "one sentence"}``.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
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
from gdshare.label_page.responses import asset_answer, http_refusal, json_body, refusal
from gdshare.label_page.assets import assets
from gdshare.label_page.grid import count, paint
from gdshare.label_page.pictures import OUTLINING_PIXELS, REVIEW_PIXELS, picture
from gdshare.protocol import Protocol
from gdshare.store.folder import Store
from gdshare.store.outline import Drawing, Outline, outline_of, save_outline
from gdshare.store.record import MAX_REVIEWER, Decision, Frozen, State, StoredFilm
from gdshare.store.review import review_film

MAX_BOXES = 1000
"""Made black on one film; a hand draws a few."""

_Model = TypeVar("_Model", bound=BaseModel)


class Save(Frozen):
    """The body of a PUT."""

    drawing: Drawing
    based_on: int = Field(ge=0)


class Decided(Frozen):
    """The body of a POST: what a person who has looked at a held film decides.

    Attributes:
        decision, by: see ``Review``.
        boxes: to be made black before a release.
        seen: how many reviews the page knew of.
    """

    decision: Decision
    by: Annotated[str, Field(min_length=1, max_length=MAX_REVIEWER)]
    boxes: Annotated[tuple[Box, ...], Field(max_length=MAX_BOXES)] = ()
    seen: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Page:
    """All that answers depend on.

    Attributes:
        store: of the films.
        protocol: of the grid.
        now: UTC.
        reviewer: who looks at held films, unless the page is told another name.
    """

    store: Store
    protocol: Protocol
    now: Callable[[], datetime]
    reviewer: str

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
                "reviewer": self.reviewer,
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
        film = self._film(request, "held", "released")
        told = {"state": film.state, "width": film.columns, "height": film.rows}
        if film.state == "held":
            return JSONResponse(told | _doubts(film))
        return JSONResponse(told | self._told(film, outline_of(self.store, film.film)))

    def pixels(self, request: Request) -> Response:
        """One film's pixels."""
        film = self._film(request, "held", "released")
        most = REVIEW_PIXELS if film.state == "held" else OUTLINING_PIXELS
        shown = picture(self.store.pixels(film), most)
        size = {"x-width": str(shown.width), "x-height": str(shown.height)}
        return Response(shown.data, media_type="application/octet-stream", headers=size)

    async def save(self, request: Request) -> Response:
        """Save a drawing and answer its grid."""
        wanted = _read(Save, await json_body(request), "drawing; draw it again")
        return await run_in_threadpool(self._save, request, wanted)

    def _save(self, request: Request, wanted: Save) -> Response:
        film = self._film(request, "released")
        saved = save_outline(self.store, film, wanted.drawing, wanted.based_on, self.now())
        return JSONResponse(self._told(film, saved))

    async def review(self, request: Request) -> Response:
        """Release or reject a held film, and answer its new state."""
        wanted = _read(Decided, await json_body(request), "review")
        return await run_in_threadpool(self._review, request, wanted)

    def _review(self, request: Request, wanted: Decided) -> Response:
        film = self._film(request, "held", "released", "rejected")
        decided = review_film(
            self.store,
            film.film,
            wanted.decision,
            wanted.by,
            self.now(),
            wanted.boxes,
            seen=wanted.seen,
        )
        return JSONResponse({"state": decided.state})

    def _told(self, film: StoredFilm, outline: Outline) -> dict[str, object]:
        painting = paint(film, outline.drawing, self.protocol)
        return {**outline.model_dump(mode="json"), "grid": asdict(painting)}

    def _film(self, request: Request, *states: State) -> StoredFilm:
        try:
            film = self.store.record(request.path_params["film"])
        except GdshareError as error:
            raise HTTPException(404, str(error)) from error
        if film.state not in states:
            raise HTTPException(403, f"{film.film}: is {film.state}")
        return film


def _doubts(film: StoredFilm) -> dict[str, object]:
    """Why a film is held, and where; ``text`` is null where the detector has not looked."""
    text = None if film.text is None else [asdict(box) for box in film.text]
    return {"reasons": film.reasons, "text": text, "seen": len(film.reviews)}


def _read(model: type[_Model], body: bytes, what: str) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, f"not a {what} ({error.errors()[0]['msg']})") from error


def label_app(page: Page) -> Starlette:
    """Make the application; whoever serves it puts a ``Door`` before it."""
    files = assets()

    def static(request: Request) -> Response:
        found = files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404, "no such file")
        return asset_answer(found)

    return Starlette(
        routes=[
            Route("/", lambda request: asset_answer(files["index.html"])),
            Route("/static/{path:path}", static),
            Route("/api/films", page.films),
            Route("/api/totals", page.totals),
            Route("/api/films/{film}", page.film),
            Route("/api/films/{film}/pixels", page.pixels),
            Route("/api/films/{film}/outline", page.save, methods=["PUT"]),
            Route("/api/films/{film}/review", page.review, methods=["POST"]),
        ],
        exception_handlers={HTTPException: http_refusal, GdshareError: refusal},
    )
