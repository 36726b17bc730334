"""A process that opens untrusted files as gdshare's commands do, and reports each outcome.

Run as ``python -P -m hostile_reader FOLDER``. For each file it reads a line of JSON, ``{"form":
"dicom", "path": "...", "shape": [h, w]}``, and writes one, ``{"refusal": "..." or null, "fault":
"..." or null}``. The last line is ``{"peak_mb": ...}``, of this process and its decoder together.
"""

import json
import resource
import sys
import traceback
from itertools import count
from pathlib import Path
from typing import Any

from outline_kit import FILM
from peak_kit import peak_mb

from gdshare.errors import FilmError
from gdshare.films import read_film
from gdshare.films.dicom.decoder import decoder
from gdshare.films.dicom.stored import Decode
from gdshare.films.outlines import read_outline
from gdshare.store import Identities, Intake, import_films, make_store

MAX_ADDRESS_SPACE = 6 * 1024**3
"""Bytes: a runaway read ends this process, not the machine, and shows in the peak."""


def main(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    with decoder() as decode:
        for line in sys.stdin:
            request = json.loads(line)
            answer: dict[str, object] = {"refusal": None, "fault": None}
            try:
                answer["refusal"] = refusal(request, Path(request["path"]), folder, decode)
            except BaseException:
                answer["fault"] = traceback.format_exc()
            send(answer)
    decoders = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    send({"peak_mb": peak_mb() + decoders})


def send(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def refusal(request: dict[str, Any], path: Path, folder: Path, decode: Decode) -> str | None:
    """Why the file is refused; None if it was read and the result is valid."""
    form, shape = request["form"], tuple(request["shape"])
    if form == "dicom":
        return import_refusal(path, folder, decode)
    try:
        if form == "raster":
            pixels = read_film(path).pixels
            valid = pixels.ndim == 2 and pixels.dtype.name in ("uint8", "uint16")
        else:
            mask = read_outline(path, shape, FILM, "stomach")
            valid = mask.shape == shape and mask.dtype == bool and bool(mask.any())
    except FilmError as error:
        return str(error)
    if not valid:
        raise AssertionError(f"{path}: was read, but the result is not valid")
    return None


def import_refusal(path: Path, folder: Path, decode: Decode) -> str | None:
    """Why ``gdshare import`` refuses the file; the store is emptied each time."""
    who, names = folder / "who.csv", count()
    who.unlink(missing_ok=True)
    store = make_store(folder / "store")
    draw = Identities(who, lambda: "a" * 15 + "abc"[next(names)])
    [outcome] = import_films([path], Intake(store, draw, decode, frame=1))
    if outcome.film is None:
        return outcome.reason if outcome.kind == "refused" else f"{path}: {outcome.reason}"
    record = store.record(outcome.film)
    pixels = store.pixels(record).pixels
    if pixels.shape != (record.rows, record.columns) or pixels.min() == pixels.max():
        raise AssertionError(f"{path}: was imported, but its pixels in the store are not valid")
    store.record_path(outcome.film).unlink()
    store.delete_pixels(outcome.film)
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
