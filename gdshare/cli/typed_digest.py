"""A digest as people type it: what they read off a page, or heard over the phone."""

from gdshare.errors import UsageError

LEAST_DIGITS = 16
"""Of a digest that is typed: 64 bits, for which nobody makes a second content or key."""


def require_told(known: str, told: str, option: str, remedy: str) -> None:
    """Refuse what does not name a digest, without telling the digest: that would invite copying it.

    Args:
        known: the digest, 64 hex digits.
        told: what was typed.
        option: by which it was.
        remedy: what to do, for the error.

    Raises:
        UsageError: nothing, too little, or another digest was typed.
    """
    digits = "".join(told.split())
    if not digits:
        raise UsageError("is empty", option, remedy)
    if len(digits) < LEAST_DIGITS:
        raise UsageError(
            f"{option} {told:.70}: has {len(digits)} digits, and {LEAST_DIGITS} are "
            "asked for at least",
            remedy=remedy,
        )
    if not is_told(known, told):
        raise UsageError(f"{option} {told:.70}: is not the one", remedy=remedy)


def is_told(known: str, told: str) -> bool:
    """Whether what was typed, spaces and capitals apart, begins this digest, and is long enough."""
    digits = "".join(told.split()).lower()
    return len(digits) >= LEAST_DIGITS and known.startswith(digits)
