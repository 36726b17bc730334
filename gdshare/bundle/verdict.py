"""Telling the outcome of a verification, to people and to machines."""

from gdshare.bundle.verify import Bundle
from gdshare.errors import GdshareError
from gdshare.signing import canonical
from gdshare.signing.names import format_utc


def sentence(bundle: Bundle) -> str:
    """Say in one sentence what was verified."""
    manifest = bundle.manifest
    return (
        f"yes: {manifest.name} is signed with this key and unaltered: "
        f"{manifest.method.images} images of {manifest.protocol.side} x {manifest.protocol.side} "
        f"px, valid until {format_utc(manifest.expires)}, digest {bundle.digest}"
    )


def acceptance(bundle: Bundle) -> dict[str, object]:
    """Give the outcome for machines when every rule was passed."""
    return {
        "verified": True,
        "digest": bundle.digest,
        "manifest": bundle.manifest.model_dump(mode="json"),
    }


def refusal(fault: GdshareError) -> dict[str, object]:
    """Give the outcome for machines otherwise: the reason's name and its sentence."""
    return {"verified": False, "reason": type(fault).__name__, "message": str(fault)}


def as_json(verdict: dict[str, object]) -> str:
    """Write a verdict as indented JSON with a newline at the end."""
    return canonical.pretty(verdict).decode()
