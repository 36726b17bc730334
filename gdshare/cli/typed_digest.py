"""A digest as people type it: what they read off a page, or heard over the phone."""

LEAST_DIGITS = 16
"""Of a digest that is typed: 64 bits, for which nobody makes a second content or key."""


def is_told(known: str, told: str) -> bool:
    """Whether what was typed, spaces and capitals apart, begins this digest, and is long enough."""
    digits = "".join(told.split()).lower()
    return len(digits) >= LEAST_DIGITS and known.startswith(digits)
