"""Reading optional elements of a DICOM header by their meaning.

An empty element is an absent one, whatever its VR: real exports leave elements in place and take
out their values (PS3.5, 7.4). No message quotes a value, which may name the patient.
"""

from collections.abc import Sequence
from math import isfinite

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from gdshare.errors import FilmError

EXPORT_AGAIN = "export it again"


def value_of(dataset: Dataset, name: str) -> object | None:
    """The value of an element; None if it is absent or empty."""
    value = dataset.get(name)
    return None if _is_empty(value) else value


def text_of(dataset: Dataset, name: str) -> str:
    """The text of an element; empty if there is none."""
    value = value_of(dataset, name)
    return "" if value is None else str(value).strip()


def numbers_of(dataset: Dataset, name: str) -> tuple[float | None, ...]:
    """The numbers of an element, None for each that is empty.

    Raises:
        FilmError: a value is not a finite number; without a path.
    """
    value = value_of(dataset, name)
    if value is None:
        return ()
    parts = value if isinstance(value, (MultiValue, list, tuple)) else (value,)
    return tuple(None if part in (None, "") else _number(part, name) for part in parts)


def number_of(dataset: Dataset, name: str) -> float | None:
    """The first number of an element; None if there is none.

    Raises:
        FilmError: as ``numbers_of``.
    """
    return next(iter(numbers_of(dataset, name)), None)


def integer_of(dataset: Dataset, name: str, least: int, most: int) -> int | None:
    """The whole number of a single-valued element; None if there is none.

    Elements of the image are unsigned whatever their VR.

    Raises:
        FilmError: not a whole number from ``least`` to ``most``; without a path.
    """
    numbers = numbers_of(dataset, name)
    number = numbers[0] if numbers else None
    if number is None:
        return None
    if dataset[name].VR == "SS" and number < 0:
        number += 1 << 16
    if len(numbers) > 1 or number != int(number) or not least <= number <= most:
        raise FilmError(
            f"{name} is {'several numbers' if len(numbers) > 1 else f'{number:.10g}'}, "
            f"not a whole number from {least} to {most}",
            remedy=EXPORT_AGAIN,
        )
    return int(number)


def items_of(dataset: Dataset, name: str) -> list[Dataset]:
    """The items of a sequence, without the empty ones.

    Raises:
        FilmError: the element is no sequence; without a path.
    """
    value = value_of(dataset, name)
    if value is None:
        return []
    if not isinstance(value, DicomSequence):
        raise FilmError(f"{name} is not a sequence", remedy=EXPORT_AGAIN)
    return [item for item in value if not all(_is_empty(part.value) for part in item)]


def _is_empty(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (bytes, Sequence)):
        return all(part in (None, "") for part in value)
    return value is None


def _number(value: object, name: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise FilmError(f"{name} is not a number", remedy=EXPORT_AGAIN)
    return number
