"""The bundle: the only thing that leaves a hospital.

A flat folder of six files: distilled images, a manifest, a datasheet, a preview, a description for
dataset tools and a signature (docs/bundle-format.md). ``build_files`` and ``write_bundle`` make one
at the hospital; ``read_folder`` and ``verify_files`` check one anywhere. What is read here was
written by strangers, so this package imports numpy, safetensors, cryptography, pydantic and the
standard library only; ``python -m gdshare.bundle verify`` runs where nothing else is installed.
"""

from gdshare.bundle.build import build_files, describe_run
from gdshare.bundle.datasheet import datasheet
from gdshare.bundle.enrolment import Request, read_request, write_request
from gdshare.bundle.errors import (
    AlreadyPublished,
    Altered,
    BadSignature,
    BrokenSeal,
    CutShort,
    Expired,
    ExtraFile,
    LabelsOffSimplex,
    MalformedManifest,
    MalformedSignature,
    MalformedTensors,
    MissingFile,
    NotAPlainFile,
    NotCanonical,
    NotFinite,
    NotSealed,
    NotYetValid,
    OutOfRange,
    Oversized,
    PassedOff,
    SealedForAnother,
    TrailingBytes,
    UnknownFormat,
    UnreadableBundle,
    WrongKey,
    WrongShape,
    WrongSite,
)
from gdshare.bundle.folder import read_folder
from gdshare.bundle.keys import (
    fingerprint,
    load_private_key,
    load_public_key,
    new_key,
    parse_public_key,
    parse_public_pem,
    public_pem,
    read_key_file,
    require_absent,
    write_key_pair,
    write_new,
)
from gdshare.bundle.manifest import FORMAT, Manifest
from gdshare.bundle.outbox import next_sequence, published, write_bundle
from gdshare.bundle.revocation import Revocation, read_revocation, write_revocation
from gdshare.bundle.sealed import read_sealed, seal, unseal
from gdshare.bundle.sealing_keys import (
    load_sealing_key,
    load_sealing_public_key,
    new_sealing_key,
    write_sealing_pair,
)
from gdshare.bundle.tensors import read_tensors
from gdshare.bundle.terms import SITE, Terms
from gdshare.bundle.verify import Bundle, verify_files, verify_folder
from gdshare.errors import BundleError

__all__ = [
    "FORMAT",
    "SITE",
    "AlreadyPublished",
    "Altered",
    "BadSignature",
    "BrokenSeal",
    "Bundle",
    "BundleError",
    "CutShort",
    "Expired",
    "ExtraFile",
    "LabelsOffSimplex",
    "MalformedManifest",
    "MalformedSignature",
    "MalformedTensors",
    "Manifest",
    "MissingFile",
    "NotAPlainFile",
    "NotCanonical",
    "NotFinite",
    "NotSealed",
    "NotYetValid",
    "OutOfRange",
    "Oversized",
    "PassedOff",
    "Request",
    "Revocation",
    "SealedForAnother",
    "Terms",
    "TrailingBytes",
    "UnknownFormat",
    "UnreadableBundle",
    "WrongKey",
    "WrongShape",
    "WrongSite",
    "build_files",
    "datasheet",
    "describe_run",
    "fingerprint",
    "load_private_key",
    "load_public_key",
    "load_sealing_key",
    "load_sealing_public_key",
    "new_key",
    "new_sealing_key",
    "next_sequence",
    "parse_public_key",
    "parse_public_pem",
    "public_pem",
    "published",
    "read_folder",
    "read_key_file",
    "read_request",
    "read_revocation",
    "read_sealed",
    "read_tensors",
    "require_absent",
    "seal",
    "unseal",
    "verify_files",
    "verify_folder",
    "write_bundle",
    "write_key_pair",
    "write_new",
    "write_request",
    "write_revocation",
    "write_sealing_pair",
]
