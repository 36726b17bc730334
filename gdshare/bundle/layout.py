"""The six files of a bundle and how large each may be; the first two rules of verification."""

from collections.abc import Collection, Mapping

from gdshare.bundle.errors import ExtraFile, MissingFile
from gdshare.signing.errors import SEND_AGAIN, Oversized, quoted

README = "README.md"
SIGNATURE = "bundle.sig"
TENSORS = "distilled.safetensors"
MANIFEST = "gdshare.json"
CROISSANT = "croissant.json"
PREVIEW = "preview.png"

KIB, MIB = 1024, 1024 * 1024

BOUNDS: Mapping[str, int] = {
    README: 64 * KIB,
    SIGNATURE: 16 * KIB,
    CROISSANT: 256 * KIB,
    TENSORS: 32 * MIB,
    MANIFEST: 16 * KIB,
    PREVIEW: 8 * MIB,
}
"""The largest size of each file, in bytes. 32 MiB hold 30 images of 512 x 512 px."""

SIGNED: tuple[str, ...] = tuple(sorted(set(BOUNDS) - {SIGNATURE}))
"""The five files the signature covers, in the order their digests are concatenated."""


def check_size(name: str, size: int) -> None:
    """Refuse a file that is larger than its bound.

    Args:
        name: the file's name; an unexpected one passes here and fails ``check_name``.
        size: in bytes.

    Raises:
        Oversized: naming the file, its size and the bound.
    """
    bound = BOUNDS.get(name)
    if bound is not None and size > bound:
        raise Oversized(
            f"{name} has {size} bytes where a bundle allows {bound}",
            remedy="publish fewer or smaller images",
        )


def check_name(name: str, expected: Collection[str] = BOUNDS.keys()) -> None:
    """Refuse a file that no bundle has.

    Raises:
        ExtraFile: naming the file.
    """
    if name not in expected:
        raise ExtraFile(
            f"the bundle holds {quoted(name)}, which is no part of a bundle",
            remedy="do not open it, and ask the hospital why it is there",
        )


def check_complete(names: Mapping[str, object], expected: Collection[str] = BOUNDS.keys()) -> None:
    """Refuse a bundle that lacks one of its files.

    Raises:
        MissingFile: naming the first that is missing.
    """
    for name in sorted(expected):
        if name not in names:
            raise MissingFile(f"the bundle has no {name}", remedy=SEND_AGAIN)
