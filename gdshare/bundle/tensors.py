"""``distilled.safetensors`` from a stranger: the header is checked before the library sees it."""

from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from gdshare.bundle.errors import (
    LabelsOffSimplex,
    MalformedTensors,
    NotFinite,
    OutOfRange,
    WrongShape,
)
from gdshare.bundle.layout import TENSORS as FILE
from gdshare.bundle.manifest import Manifest
from gdshare.distilled import SIMPLEX_TOLERANCE, TENSORS, Distilled
from gdshare.signing import canonical
from gdshare.signing.errors import SEND_AGAIN, quoted

LARGEST_HEADER = 1024
"""Bytes. The header of three tensors takes 200 to 250."""
LARGEST_PIXEL = 10_000.0
"""Standard deviations from the protocol's mean: far beyond any picture, far below overflow."""
LARGEST_RATE = 100.0

Shapes = dict[str, tuple[int, ...]]


def read_tensors(data: bytes, manifest: Manifest) -> Distilled:
    """Read the tensors and refuse anything but what the manifest implies.

    Args:
        data: the file, already within its size bound.
        manifest: gives the shapes.

    Returns:
        images float32 [M, 1, side, side], labels float32 [M, 3], learning_rates float32 [1] or
        [E * I]; finite, in range, labels on the simplex.

    Raises:
        MalformedTensors: no safetensors file of exactly the three tensors, or with metadata.
        WrongShape: a shape or dtype other than the manifest implies.
        NotCanonical: the bytes are not those the writer gives for these values.
        NotFinite, OutOfRange, LabelsOffSimplex: see ``check_values``.
    """
    check_header(data, manifest.shapes())
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as fault:
        raise MalformedTensors(
            f"{FILE} cannot be read ({quoted(fault)})", remedy=SEND_AGAIN
        ) from None
    distilled = Distilled(**{name: tensors[name] for name in TENSORS})
    canonical.require_same(data, distilled.to_bytes(), FILE)
    check_values(distilled)
    return distilled


def check_header(data: bytes, shapes: Shapes) -> None:
    """Check length, names, dtypes, shapes and offsets by the header alone.

    Raises:
        MalformedTensors, WrongShape, NotCanonical: see ``read_tensors``.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(LARGEST_HEADER, len(data) - 8):
        raise MalformedTensors(
            f"{FILE} has no header of at most {LARGEST_HEADER} bytes", remedy=SEND_AGAIN
        )
    header = canonical.parse(data[8 : 8 + size], f"the header of {FILE}", MalformedTensors)
    if not isinstance(header, dict) or set(header) != set(TENSORS):
        names = ", ".join(header) if isinstance(header, dict) else "something else"
        raise MalformedTensors(
            f"{FILE} holds {quoted(names)} where exactly {', '.join(TENSORS)} belong, "
            "without metadata",
            remedy=SEND_AGAIN,
        )
    for name, shape in shapes.items():
        _check_entry(name, header[name], shape)
    expected = 8 + size + sum(4 * int(np.prod(shape)) for shape in shapes.values())
    if len(data) != expected:
        raise MalformedTensors(
            f"{FILE} has {len(data)} bytes where its tensors take {expected}", remedy=SEND_AGAIN
        )


def _check_entry(name: str, entry: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise MalformedTensors(f"{FILE} does not describe {name} properly", remedy=SEND_AGAIN)
    if entry["dtype"] != "F32" or entry["shape"] != list(shape):
        raise WrongShape(
            f"{name} is {quoted(entry['dtype'])} {quoted(entry['shape'])} where "
            f"gdshare.json implies F32 {list(shape)}",
            FILE,
            SEND_AGAIN,
        )


def check_values(distilled: Distilled) -> None:
    """Check every number.

    Raises:
        NotFinite: a NaN or an infinity.
        OutOfRange: a pixel beyond ±10,000 (normalised units), a learning rate not in (0, 100].
        LabelsOffSimplex: a label negative, or a row not summing to 1 within 1e-4.
        MalformedTensors: anything else ``Distilled`` itself objects to.
    """
    for name in TENSORS:
        if not np.isfinite(getattr(distilled, name)).all():
            raise NotFinite(f"{name} holds values that are not finite", FILE, SEND_AGAIN)
    if (np.abs(distilled.images) > LARGEST_PIXEL).any():
        raise OutOfRange(f"a pixel lies beyond ±{LARGEST_PIXEL:.0f}", FILE, SEND_AGAIN)
    rates = distilled.learning_rates
    if (rates <= 0).any() or (rates > LARGEST_RATE).any():
        raise OutOfRange(
            f"a learning rate is not in the range 0 to {LARGEST_RATE:.0f}", FILE, SEND_AGAIN
        )
    sums = distilled.labels.sum(axis=1, dtype=np.float64)
    if (distilled.labels < 0).any() or (np.abs(sums - 1) > SIMPLEX_TOLERANCE).any():
        raise LabelsOffSimplex(
            "a soft label is negative or its row does not sum to 1", FILE, SEND_AGAIN
        )
    problem = distilled.problem()
    if problem:
        raise MalformedTensors(problem, FILE, SEND_AGAIN)
