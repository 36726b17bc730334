"""One film out of a PACS into a file, as the PACS keeps it.

WADO-RS, PS3.18 10.4: the answer is a multipart message of one part, which is the DICOM file. Some
servers send the file itself.
"""

import os
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from dicomweb_client import URI
from requests import Response

from gdshare.store.pacs.faults import AnswerError, PassingError, explained
from gdshare.store.pacs.line import PIECE_BYTES, Line
from gdshare.store.pacs.query import Reference

MODE = 0o600
MAX_HEAD_BYTES = 64 * 1024
"""What stands before a part's content."""
NO_FILE = "answers with something else than a DICOM file; ask whoever runs it"


def retrieve(line: Line, film: Reference, path: Path) -> None:
    """Write a film to a file that only its owner may read; what was there before is gone.

    Raises:
        PacsError: or a kind of it; the file may then hold a piece of the film.
        OSError: no space, or no such folder.
    """
    with explained(line.url):  # a UID that is none
        address = str(URI(line.url, film.study, film.series, film.instance))
    line.asked(lambda: _write(line.get(address), path))


def _write(response: Response, path: Path) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with response, os.fdopen(descriptor, "wb") as stream:
        for piece in _file(response):
            stream.write(piece)


def _file(response: Response) -> Iterator[bytes]:
    """The one file that an answer holds, piece by piece."""
    head = Message()
    head["Content-Type"] = response.headers.get("Content-Type", "")
    pieces = iter(lambda: response.raw.read(PIECE_BYTES), b"")
    boundary = head.get_boundary()
    if head.get_content_type() == "application/dicom":
        return pieces
    if head.get_content_type() != "multipart/related" or boundary is None:
        raise AnswerError(NO_FILE)
    return first_part(pieces, boundary.encode())


def first_part(pieces: Iterator[bytes], boundary: bytes) -> Iterator[bytes]:
    """What the first part of a multipart message holds (RFC 2046, 5.1), piece by piece.

    Args:
        pieces: of the message, cut anywhere.
        boundary: between its parts.

    Raises:
        AnswerError: no such message.
        PassingError: it breaks off.
    """
    stop = b"\r\n--" + boundary
    held = _after(stop, b"\r\n", pieces)  # the first boundary may be the first line
    held = _after(b"\r\n\r\n", held, pieces)
    tail = len(stop) - 1  # may be the beginning of the boundary
    while (end := held.find(stop)) < 0:
        yield held[:-tail]
        held = held[-tail:] + _next(pieces)
    yield held[:end]
    for _ in pieces:  # read to its end, the connection can be used again
        pass


def _after(mark: bytes, held: bytes, pieces: Iterator[bytes]) -> bytes:
    while (start := held.find(mark)) < 0:
        if len(held) > MAX_HEAD_BYTES:
            raise AnswerError(NO_FILE)
        held += _next(pieces)
    return held[start + len(mark) :]


def _next(pieces: Iterator[bytes]) -> bytes:
    piece = next(pieces, None)
    if piece is None:
        raise PassingError("breaks off within a film", remedy="see that it runs")
    return piece
