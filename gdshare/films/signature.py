"""Telling DICOM from other files by their first bytes, without loading pydicom.

PS3.10, 7.1: a preamble of 128 bytes, then ``DICM``. Old archives and modalities leave both out, and
some the file meta information too; such a file begins with its first data element (PS3.5, 7.1).
"""

from pathlib import Path

from gdshare.plain_files import open_plain

HEAD_BYTES = 2048
"""Enough for the preamble, or for a first element and the tag after it."""
PREFIX, PREFIX_START = b"DICM", 128
MAX_FIRST_BYTES = 1024
"""Of the first element of a file without preamble: a group length, a character set or a UID."""

_META, _FIRST, _FIRST_BIG_ENDIAN = b"\x02\x00", b"\x08\x00", b"\x00\x08"
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UC UI UL UN UR US UT".split()
)


def is_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM does; False if it cannot be opened."""
    try:
        with open_plain(path) as stream:
            return begins_as_dicom(stream.read(HEAD_BYTES))
    except OSError:
        return False


def has_preamble(head: bytes) -> bool:
    """Whether a file with these first bytes has the preamble and the prefix."""
    return head[PREFIX_START : PREFIX_START + len(PREFIX)] == PREFIX


def begins_as_dicom(head: bytes) -> bool:
    """Whether a file with these first bytes (``HEAD_BYTES`` of them) is DICOM."""
    group, explicit = head[:2], head[4:6] in _VRS
    if has_preamble(head) or (explicit and group in (_META, _FIRST, _FIRST_BIG_ENDIAN)):
        return True
    return group == _FIRST and _begins_in_implicit_vr(head)


def _begins_in_implicit_vr(head: bytes) -> bool:
    """Whether a tag of group 8, a short length, a value and a greater tag come first."""
    end = 8 + int.from_bytes(head[4:8], "little")
    if end > 8 + MAX_FIRST_BYTES or len(head) < end + 4:
        return False
    first, second = ((head[at : at + 2], head[at + 2 : at + 4]) for at in (0, end))
    numbers = [tuple(int.from_bytes(part, "little") for part in tag) for tag in (first, second)]
    return numbers[0] < numbers[1]
