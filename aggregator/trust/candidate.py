"""A key that a hospital sends, before it is trusted: an enrolment request, or a bare key."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import UsageError
from gdshare.signing import parse_public_key, read_key_file, read_request


@dataclass(frozen=True)
class Candidate:
    """A key, and the hospital it is said to belong to.

    Attributes:
        site: the name in the request, or the one the operator gave.
        key: public.
        vouched_by: an older key that names this one its successor, if there is one.
    """

    site: str
    key: ec.EllipticCurvePublicKey
    vouched_by: ec.EllipticCurvePublicKey | None = None


def read_candidate(path: Path, site: str | None) -> Candidate:
    """Read what the hospital sent.

    Args:
        path: an enrolment request, or a ``NAME.pub``.
        site: the name the operator gave; a request has a name, a bare key does not.

    Raises:
        KeyFileError: neither of the two, or a request that is damaged or forged.
        UsageError: a bare key without a name, or another name than the request's.
    """
    data = read_key_file(path)
    if not data.startswith(b"{"):
        key = parse_public_key(data, str(path))
        if site is None:
            raise UsageError(
                "is a bare key, which names no hospital",
                path,
                "give --site, or ask for a request (gdshare keys request)",
            )
        return Candidate(site, key)
    request = read_request(data, str(path))
    if site not in (None, request.site):
        raise UsageError(
            f"--site {site:.40}: the request {path} is of {request.site}",
            remedy="leave out --site, or ask the hospital which name it uses",
        )
    return Candidate(request.site, request.key, request.vouched_by)
