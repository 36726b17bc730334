"""Downloading a film from a PACS to a file, in its stored encoding.

WADO-RS, PS3.18 10.4: the response is a multipart message with a single part, the DICOM file. Some
servers send the file itself.
"""

import os
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from dicomweb_client import URI
from requests import Response

from gdshare.store.pacs.connection import CHUNK_BYTES, Connection
from gdshare.store.pacs.errors import (
    ASK_ADMINISTRATOR,
    ResponseError,
    TransientError,
    translate_errors,
)
from gdshare.store.pacs.query import Reference

MODE = 0o600
MAX_HEADER_BYTES = 64 * 1024
"""Before a part's content."""
NOT_DICOM = "does not answer with a DICOM file"


def retrieve(connection: Connection, film: Reference, path: Path) -> None:
    """Download a film to a file of mode 600, replacing it.

    Raises:
        PacsError: or a subclass; the file may then contain part of the film.
        OSError: no space, or no such folder.
    """
    with translate_errors(connection.url):  # an invalid UID
        address = str(URI(connection.url, film.study, film.series, film.instance))
    connection.retry(lambda: _write(connection.get(address), path))


def _write(response: Response, path: Path) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with response, os.fdopen(descriptor, "wb") as stream:
        for chunk in _file(response):
            stream.write(chunk)


def _file(response: Response) -> Iterator[bytes]:
    """The file in a response, in chunks."""
    header = Message()
    header["Content-Type"] = response.headers.get("Content-Type", "")
    chunks = iter(lambda: response.raw.read(CHUNK_BYTES), b"")
    boundary = header.get_boundary()
    if header.get_content_type() == "application/dicom":
        return chunks
    if header.get_content_type() != "multipart/related" or boundary is None:
        raise ResponseError(NOT_DICOM, remedy=ASK_ADMINISTRATOR)
    return first_part(chunks, boundary.encode())


def first_part(chunks: Iterator[bytes], boundary: bytes) -> Iterator[bytes]:
    """The content of a multipart message's first part (RFC 2046, 5.1), in chunks.

    Args:
        chunks: the message, split anywhere.
        boundary: between its parts.

    Raises:
        ResponseError: not a multipart message.
        TransientError: it breaks off.
    """
    delimiter = b"\r\n--" + boundary
    buffer = _after(delimiter, b"\r\n", chunks)  # the first delimiter may be the first line
    buffer = _after(b"\r\n\r\n", buffer, chunks)
    tail = len(delimiter) - 1  # may be the start of the delimiter
    while (end := buffer.find(delimiter)) < 0:
        yield buffer[:-tail]
        buffer = buffer[-tail:] + _next(chunks)
    yield buffer[:end]
    for _ in chunks:  # read to the end, so that the connection can be reused
        pass


def _after(mark: bytes, buffer: bytes, chunks: Iterator[bytes]) -> bytes:
    while (start := buffer.find(mark)) < 0:
        if len(buffer) > MAX_HEADER_BYTES:
            raise ResponseError(NOT_DICOM, remedy=ASK_ADMINISTRATOR)
        buffer += _next(chunks)
    return buffer[start + len(mark) :]


def _next(chunks: Iterator[bytes]) -> bytes:
    chunk = next(chunks, None)
    if chunk is None:
        raise TransientError("breaks off within a film", remedy="check that the PACS is running")
    return chunk
