"""A patient's name or number under one spelling, whatever program wrote it."""

import unicodedata


def patient_name(text: str) -> str:
    """The spelling that is compared: in Unicode's NFC, trimmed, with single blanks.

    Capitals count: ``a1`` and ``A1`` may be two patients.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def folded_name(text: str) -> str:
    """A spelling without case, width and invisible characters; equal where a person may be."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(char for char in folded if unicodedata.category(char) != "Cf")
