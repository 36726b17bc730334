"""Why a bundle is refused: one class per reason, so that a refusal can be counted and acted on.

All derive from ``gdshare.errors.BundleError``. What is wrong with a signature has its reasons in
``gdshare.signing.errors``.
"""

# ruff: noqa: N818 - the names are the reasons themselves, as they appear in verdicts and records.

from gdshare.errors import BundleError, UsageError


class UnreadableBundle(BundleError, UsageError):
    """The path is not a folder, or the operating system refuses to read it."""


class NotAPlainFile(BundleError):
    """Something in the bundle is a link, a subfolder, a pipe or a device."""


class MissingFile(BundleError):
    """One of the six files is not there, or is not covered by the signature."""


class ExtraFile(BundleError):
    """There is a file beyond the six, or the signature lists one."""


class Altered(BundleError):
    """A file is not the one that was signed."""


class UnknownFormat(BundleError):
    """The bundle is of a format version this gdshare does not know."""


class MalformedManifest(BundleError):
    """``gdshare.json`` lacks a field, has one too many, or holds a value out of bounds."""


class WrongSite(BundleError):
    """The bundle says it comes from another hospital than the key's owner."""


class MalformedTensors(BundleError):
    """``distilled.safetensors`` is not a safetensors file of exactly the three tensors."""


class WrongShape(BundleError):
    """A tensor does not have the shape or type that ``gdshare.json`` implies."""


class NotFinite(BundleError):
    """A tensor holds a NaN or an infinity."""


class OutOfRange(BundleError):
    """A pixel or a learning rate lies outside the bounds of the format."""


class LabelsOffSimplex(BundleError):
    """A soft label is not a distribution over the classes."""


class NotYetValid(BundleError):
    """The bundle says it was made in the future."""


class Expired(BundleError):
    """The bundle's expiry time has passed."""


class UnsoundAttestation(BundleError):
    """A withdrawal or a receipt that is damaged, forged, another's, or none at all."""


class AlreadyPublished(BundleError):
    """The outbox already has a bundle of that hospital and sequence number."""


class NotSealed(BundleError):
    """The file is no sealed bundle of a known version; nothing in it was opened."""


class SealedForAnother(BundleError):
    """Sealed to another key than the one that is to open it."""


class CutShort(BundleError):
    """The sealed bundle ends before the length it tells."""


class TrailingBytes(BundleError):
    """Something follows after the end of the sealed bundle."""


class BrokenSeal(BundleError):
    """The sealed bundle does not open: a byte of it, or of its first lines, was altered."""


class PassedOff(BundleError):
    """What was sealed is another bundle than its first lines say."""
