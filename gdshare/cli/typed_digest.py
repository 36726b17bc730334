"""Digests as people type them, read off a page or heard over the phone."""

from gdshare.errors import UsageError

LEAST_DIGITS = 16
"""Of a typed digest: 64 bits, too many to find a second content or key for."""


def require_match(digest: str, typed: str, option: str, remedy: str) -> None:
    """Refuse a typed digest that does not match. The error never shows the right one to copy.

    Args:
        digest: 64 hex digits.
        typed: its first digits as typed.
        option: the command-line option.
        remedy: for the error.

    Raises:
        UsageError: nothing, too few digits, or another digest was typed.
    """
    digits = "".join(typed.split())
    if not digits:
        raise UsageError("is empty", option, remedy)
    if len(digits) < LEAST_DIGITS:
        raise UsageError(
            f"has {len(digits)} digits, fewer than {LEAST_DIGITS}",
            f"{option} {typed:.70}",
            remedy,
        )
    if not matches(digest, typed):
        raise UsageError("is another digest", f"{option} {typed:.70}", remedy)


def matches(digest: str, typed: str) -> bool:
    """Whether a digest starts with the typed digits, ignoring case and spaces, if long enough."""
    digits = "".join(typed.split()).lower()
    return len(digits) >= LEAST_DIGITS and digest.startswith(digits)
