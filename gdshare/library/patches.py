"""Numpy arrays from a caller as patches: checked, and as exact as a cohort keeps them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from gdshare.cohort import Patches
from gdshare.cohort.store import FULL_SCALE
from gdshare.errors import UsageError
from gdshare.library.images import MAX_CLASSES
from gdshare.seeding import missing_classes

NAMED = "biuU"
"""Kinds of numpy's types that name something: booleans, integers, text."""


def as_pixels(images: npt.NDArray[Any], where: str = "images") -> npt.NDArray[np.uint16]:
    """Gray patches as a cohort stores them.

    Args:
        images: [n, side, side], at least one; uint8, uint16, or floats in [0, 1].
        where: named in an error.

    Returns:
        uint16 [n, side, side], [0, 1] as 0 to 65535.

    Raises:
        UsageError: another shape or type, or a value outside the range.
    """
    pixels = np.asarray(images)
    if pixels.ndim != 3 or not len(pixels) or pixels.shape[1] != pixels.shape[2]:
        raise UsageError(
            f"have shape {pixels.shape}, not [n, side, side]",
            where,
            "give square gray patches; of colour images take the mean over the channels first",
        )
    if pixels.dtype == np.uint16:
        return np.asarray(pixels)
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * np.uint16(FULL_SCALE // 255)
    if pixels.dtype.kind != "f":
        raise UsageError(f"are {pixels.dtype}", where, "give uint8, uint16, or floats from 0 to 1")
    if not ((pixels >= 0) & (pixels <= 1)).all():
        raise UsageError(
            "have values below 0, above 1 or not a number",
            where,
            "scale them to the range 0 to 1, or give uint8",
        )
    levels: npt.NDArray[np.uint16] = np.rint(
        pixels.astype(np.float32) * np.float32(FULL_SCALE)
    ).astype(np.uint16)
    return levels


def class_names(labels: npt.NDArray[Any]) -> tuple[str, ...]:
    """The distinct labels as text, in their own order: numbers by size, text by the alphabet.

    Raises:
        UsageError: fewer than two, or more than ``MAX_CLASSES``.
    """
    names = tuple(str(value) for value in np.unique(labels))
    if not 2 <= len(names) <= MAX_CLASSES:
        raise UsageError(
            f"name {len(names)} classes", "labels", f"give patches of 2 to {MAX_CLASSES}"
        )
    return names


def as_names(values: npt.ArrayLike, count: int, where: str) -> npt.NDArray[Any]:
    """One name for each patch: booleans, integers or text, [count].

    Raises:
        UsageError: another length, shape or type.
    """
    names = np.asarray(values)
    if names.shape != (count,):
        raise UsageError(
            f"have shape {names.shape} for {count} patches", where, "give one for each, [n]"
        )
    if names.dtype.kind not in NAMED:
        raise UsageError(f"are {names.dtype}", where, "give integers, booleans or text")
    return names


def as_patches(
    images: npt.NDArray[Any], labels: npt.ArrayLike, classes: tuple[str, ...], where: str
) -> Patches:
    """Labelled patches of these classes, each of which must be there.

    Args:
        images: see ``as_pixels``.
        labels: [n], each a name in ``classes`` when it is written as text.
        classes: names, in the order of the outputs.
        where: ``training`` or ``validation``, for errors.

    Raises:
        UsageError: see ``as_pixels`` and ``as_names``; or an unknown class, or one without a patch.
    """
    pixels = as_pixels(images, f"{where} images")
    names = as_names(labels, len(pixels), f"{where} labels").astype(str)
    table = np.array(classes)
    if strange := sorted(set(names.tolist()) - set(classes)):
        raise UsageError(
            f"name the unknown class {strange[0]}", f"{where} labels", f"use {', '.join(classes)}"
        )
    order = np.argsort(table)
    indices = order[np.searchsorted(table, names, sorter=order)].astype(np.uint8)
    patches = Patches(pixels, indices, np.zeros(len(pixels), np.uint32), classes)
    if absent := missing_classes(patches):
        raise UsageError(
            f"no {where} patch of class {', '.join(absent)}",
            remedy="give patches of every class",
        )
    return patches
