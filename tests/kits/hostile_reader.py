"""A process that opens files from strangers as gdshare's commands do, and says what came of each.

Run as ``python -P -m hostile_reader FOLDER``. A line of JSON comes in for each file, ``{"form":
"dicom", "path": "...", "shape": [h, w]}``, and one goes out, ``{"refusal": "..." or null, "fault":
"..." or null}``. The last line is ``{"peak_mb": ...}``, this process and its decoder together.
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

ADDRESSES = 6 * 1024**3
"""Bytes: what runs away ends here, not the machine; the peak tells of it."""


def main(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    with decoder() as decode:
        for line in sys.stdin:
            asked = json.loads(line)
            answer: dict[str, object] = {"refusal": None, "fault": None}
            try:
                answer["refusal"] = refusal(asked, Path(asked["path"]), folder, decode)
            except BaseException:
                answer["fault"] = traceback.format_exc()
            say(answer)
    decoders = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    say({"peak_mb": peak_mb() + decoders})


def say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def refusal(asked: dict[str, Any], path: Path, folder: Path, decode: Decode) -> str | None:
    """Why the file is refused; None when it was read and what came out is sound."""
    form, shape = asked["form"], tuple(asked["shape"])
    if form == "dicom":
        return imported(path, folder, decode)
    try:
        if form == "raster":
            pixels = read_film(path).pixels
            sound = pixels.ndim == 2 and pixels.dtype.name in ("uint8", "uint16")
        else:
            mask = read_outline(path, shape, FILM, "stomach")
            sound = mask.shape == shape and mask.dtype == bool and bool(mask.any())
    except FilmError as error:
        return str(error)
    if not sound:
        raise AssertionError(f"{path}: read, and what came out is unsound")
    return None


def imported(path: Path, folder: Path, decode: Decode) -> str | None:
    """As ``gdshare import`` does it, into a store where nothing is known yet."""
    who, names = folder / "who.csv", count()
    who.unlink(missing_ok=True)
    store = make_store(folder / "store")
    draw = Identities(who, lambda: "a" * 15 + "abc"[next(names)])
    [outcome] = import_films([path], Intake(store, draw, decode, frame=1))
    if outcome.film is None:
        return outcome.reason or f"{path}: {outcome.kind}"
    record = store.record(outcome.film)
    pixels = store.pixels(record).pixels
    if pixels.shape != (record.rows, record.columns) or pixels.min() == pixels.max():
        raise AssertionError(f"{path}: imported, and what lies in the store is unsound")
    store.record_path(outcome.film).unlink()
    store.delete_pixels(outcome.film)
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
