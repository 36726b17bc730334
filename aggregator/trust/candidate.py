"""A key that a hospital sends, before anybody believes it: an enrolment request, or a bare key."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import UsageError
from gdshare.signing import parse_public_key, read_key_file, read_request


@dataclass(frozen=True)
class Candidate:
    """A key, and the hospital that it is said to be of.

    Attributes:
        site: in the sender's words, or the operator's.
        key: public.
        vouched_by: an older key that says it is succeeded by this one, if there is one.
    """

    site: str
    key: ec.EllipticCurvePublicKey
    vouched_by: ec.EllipticCurvePublicKey | None = None


def read_candidate(path: Path, site: str | None) -> Candidate:
    """Read what was sent.

    Args:
        path: of a request, or of a ``NAME.pub``.
        site: in the operator's words; a request tells it, a bare key does not.

    Raises:
        KeyFileError: neither of the two, or a request that is not sound.
        UsageError: no site told, or another than the request's.
    """
    data = read_key_file(path)
    if not data.startswith(b"{"):
        key = parse_public_key(data, str(path))
        if site is None:
            raise UsageError(
                "is a bare key, which does not say whose it is",
                path,
                "give --site, or have a request sent (gdshare keys request)",
            )
        return Candidate(site, key)
    found = read_request(data, str(path))
    if site not in (None, found.site):
        raise UsageError(
            f"--site {site:.40}: the request {path} is of {found.site}",
            remedy="leave --site away, or ask the hospital under which name it sends",
        )
    return Candidate(found.site, found.key, found.vouched_by)
