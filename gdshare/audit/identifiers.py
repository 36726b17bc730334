"""``identifiers/1``: does what would leave hold a name, a number or a path that this site knows?

Everything known at the site (patients, films, folders; a table such as ``STORE-identities.csv`` on
request) is searched for in the five files that a signature would cover: as text in several
encodings and nestings (``leaks``), in the low bits of the tensors' numbers, and as gray levels of
the images' pixels. Its control plants an identifier in each of these ways; all must be found.

It finds what was put there, by mistake or by somebody; whether the images tell who a patient is,
is for the other attacks. What is encrypted, or spread by a secret rule, no search finds.
"""

import base64
import codecs
import csv
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gdshare.audit.figures import Control, Result
from gdshare.audit.leaks import is_short, search
from gdshare.bundle.attacks import Attack
from gdshare.bundle.layout import MANIFEST, README, TENSORS
from gdshare.cohort import Cohort
from gdshare.distilled import Distilled
from gdshare.errors import UsageError
from gdshare.plain_files import MAX_TABLE, read_plain
from gdshare.protocol import Protocol

NAME: Final = "identifiers/1"
LOW_BITS: Final = 8
"""Bits of a float32's mantissa, from the lowest, in which texts are sought."""
OFFSET: Final = 3
"""Where in the numbers the control begins to hide a text."""
PLANTED: Final = "canary-patient-0815-wombat"
JAPANESE: Final = "山田^太郎"
DIVIDERS: Final = (",", ";", "\t")
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Known:
    """What this site knows.

    Attributes:
        texts: long enough to be sought without being found by accident.
        short: how many are not, and were left out.
    """

    texts: frozenset[str]
    short: int

    def without(self, ordinary: Mapping[str, bytes]) -> "Known":
        """Leave out what stands in files that were made elsewhere: it identifies nobody here."""
        common = {str(leak.secret) for leak in search(ordinary, self.texts)}
        return Known(self.texts - common, self.short)


@dataclass(frozen=True)
class Searched:
    """What a search has found.

    Attributes:
        known: how many texts were sought.
        short: how many were too short.
        found: texts, each with where; never leaves the hospital.
        blind: ways of planting that the control did not find; empty if it fired.
        planted: ways that it tried.
    """

    known: int
    short: int
    found: Mapping[str, str]
    blind: tuple[str, ...]
    planted: int

    @property
    def attack(self) -> Attack:
        """As a bundle would tell it: the share of the texts that were found.

        Raises:
            UsageError: nothing was sought, which is no result.
        """
        if not self.known:
            raise UsageError("nothing is known that could be sought", NAME, "give a table of names")
        share = round(len(self.found) / self.known, 3)
        # One of thousands must not be rounded away.
        figure = max(share, 0.001) if self.found else 0.0
        return Attack(name=NAME, figure=figure, low=figure, high=figure, unrelated=0.0)


@dataclass(frozen=True)
class Leaving:
    """What would leave, and where else names are known.

    Attributes:
        files: the five files that a signature would cover, name -> content.
        ordinary: the same of images that have nothing to do with this site.
        tables: CSV files, each cell of which is sought.
    """

    files: Mapping[str, bytes]
    ordinary: Mapping[str, bytes]
    tables: tuple[Path, ...] = ()


def identifiers_result(
    leaving: Leaving, distilled: Distilled, cohort: Cohort
) -> tuple[Result | None, Searched]:
    """Search what would leave for everything that is known.

    Args:
        leaving: the files.
        distilled: the tensors in them.
        cohort: of the run: its patients, films and folders are known.

    Returns:
        the result, None where nothing is known that is long enough; and what was found, which
        stays at the hospital.

    Raises:
        UsageError: a table cannot be read.
    """
    known = known_of(cohort, leaving.tables).without(leaving.ordinary)
    searched = search_identifiers(leaving.files, distilled, cohort.protocol, known)
    if not searched.known:
        return None, searched
    share = 1.0 - len(searched.blind) / searched.planted
    control = Control(
        what=f"a name planted in {searched.planted} ways",
        figure=share,
        low=float(not searched.blind),
        high=share,
        unrelated=0.0,
    )
    return Result(attack=searched.attack, control=control), searched


def known_of(cohort: Cohort, tables: Iterable[Path] = ()) -> Known:
    """Collect patients, films' and masks' names and the folders they lie in.

    Args:
        cohort: of the run.
        tables: CSV files, each cell of which is sought too.

    Raises:
        UsageError: a table cannot be read.
    """
    texts: set[str] = set()
    for film in cohort.index.films:
        texts.add(film.patient)
        for path in (film.image, film.mask):
            if path is not None:
                texts |= {path.name, path.stem, str(path), str(path.parent)}
    for table in tables:
        texts |= _cells(table)
    texts.discard("")
    long = frozenset(text for text in texts if not is_short(text))
    return Known(long, len(texts) - len(long))


def search_identifiers(
    files: Mapping[str, bytes], distilled: Distilled, protocol: Protocol, known: Known
) -> Searched:
    """Search what would leave, and see whether the search would find what is there.

    Args:
        files: the five files that a signature would cover.
        distilled: the tensors in them.
        protocol: by which pixels are gray levels again.
        known: what is sought.
    """
    found = _found(files, distilled, protocol, known.texts)
    planted = frozenset({PLANTED, JAPANESE})
    plants = _plants(files, distilled, protocol)
    blind = [
        way
        for way, (its_files, its_tensors) in plants.items()
        if not _found(its_files, its_tensors, protocol, planted)
    ]
    return Searched(len(known.texts), known.short, found, tuple(blind), len(plants))


def _found(
    files: Mapping[str, bytes], distilled: Distilled, protocol: Protocol, texts: Iterable[str]
) -> dict[str, str]:
    """Text -> where it was found first."""
    hidden = {f"the numbers ({way})": data for way, data in _streams(distilled, protocol)}
    found: dict[str, str] = {}
    for leak in search({**files, **hidden}, texts):
        undone = f", {' in '.join(reversed(leak.undone))}" if leak.undone else ""
        found.setdefault(str(leak.secret), f"{leak.file}{undone}")
    return found


def _streams(distilled: Distilled, protocol: Protocol) -> Iterator[tuple[str, bytes]]:
    """Bytes that the tensors' numbers may spell: low bits, and gray levels."""
    arrays = {
        "images": distilled.images,
        "labels": distilled.labels,
        "rates": distilled.learning_rates,
    }
    for name, array in arrays.items():
        words = _words(array)
        for bit in range(LOW_BITS):
            plane = ((words >> np.uint32(bit)) & np.uint32(1)).astype(np.uint8)
            for offset in range(8):
                for order in ("big", "little"):
                    packed = np.packbits(plane[offset:], bitorder=order).tobytes()
                    yield f"bit {bit} of {name}, {order}, from {offset}", packed
        yield f"low byte of {name}", (words & np.uint32(255)).astype(np.uint8).tobytes()
    levels = np.rint((distilled.images * protocol.std + protocol.mean) * 255)
    yield "gray levels", np.clip(levels, 0, 255).astype(np.uint8).tobytes()


def _words(array: npt.NDArray[np.float32]) -> Words:
    """The bits of float32 numbers, in order: uint32 [n]."""
    return np.ascontiguousarray(array, np.float32).reshape(-1).view(np.uint32)


def _plants(
    files: Mapping[str, bytes], distilled: Distilled, protocol: Protocol
) -> dict[str, tuple[Mapping[str, bytes], Distilled]]:
    """Ways of hiding a text -> files and tensors in which it is hidden so."""
    text = PLANTED.encode()
    in_text = {
        "as it is": text,
        "capitals": text.upper(),
        "a Japanese charset": JAPANESE.encode("iso2022-jp"),
        "utf-16": PLANTED.encode("utf-16-le"),
        "base64": base64.b64encode(b"x" + text),
        "hex": text.hex().encode(),
        "zlib": zlib.compress(text),
        "base64 of zlib": base64.b64encode(zlib.compress(text)),
        "JSON escapes": "".join(f"\\u{ord(char):04x}" for char in PLANTED).encode(),
    }
    plants: dict[str, tuple[Mapping[str, bytes], Distilled]] = {
        f"{way} in {name}": ({**files, name: files[name] + b"\n" + content}, distilled)
        for way, content in in_text.items()
        for name in (README, MANIFEST)
    }
    bits = np.unpackbits(np.frombuffer(text, np.uint8)).astype(np.uint32)
    images, levels = distilled.images.copy(), distilled.images.copy()
    words = images.reshape(-1).view(np.uint32)
    if OFFSET + len(bits) <= len(words):
        place = slice(OFFSET, OFFSET + len(bits))
        words[place] = (words[place] & ~np.uint32(1)) | bits
        plants["lowest bits of the images"] = (files, replace(distilled, images=images))
    if len(text) <= levels.size:
        level = np.frombuffer(text, np.uint8).astype(np.float32) / 255
        levels.reshape(-1)[: len(text)] = (level - protocol.mean) / protocol.std
        plants["gray levels of the images"] = (files, replace(distilled, images=levels))
    plants["the tensors' file"] = ({**files, TENSORS: files[TENSORS] + text}, distilled)
    return plants


def _cells(path: Path) -> set[str]:
    """The cells of a table, whatever divides them: spreadsheets of half of Europe write semicolons.

    Where more than one of ``DIVIDERS`` stands in it, the cells by each.
    """
    try:
        data = read_plain(path, MAX_TABLE)
        text = data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig")
        dividers = [divider for divider in DIVIDERS if divider in text] or DIVIDERS[:1]
        return {
            cell.strip()
            for divider in dividers
            for row in csv.reader(io.StringIO(text), delimiter=divider)
            for cell in row
        }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"cannot be read as a table ({error})", path, "give a CSV file, saved as UTF-8"
        ) from error
