"""The bundle: the only thing that leaves a hospital.

A flat folder of six files: distilled images, a manifest, a datasheet, a preview, a description for
dataset tools and a signature (docs/bundle-format.md). ``build_files`` and ``write_bundle`` make one
at the hospital; ``read_folder`` and ``verify_files`` check one anywhere. What is read here was
written by strangers, so this package imports numpy, safetensors, cryptography, pydantic and the
standard library only; ``python -m gdshare.bundle verify`` runs where nothing else is installed.
"""

from gdshare.bundle.build import build_files, describe_run
from gdshare.bundle.folder import read_folder
from gdshare.bundle.manifest import Manifest
from gdshare.bundle.outbox import next_sequence, published, write_bundle
from gdshare.bundle.sealed import read_sealed, seal, unseal
from gdshare.bundle.tensors import read_tensors
from gdshare.bundle.terms import Terms
from gdshare.bundle.verify import Bundle, read_unverified, verify_files, verify_folder

__all__ = [
    "Bundle",
    "Manifest",
    "Terms",
    "build_files",
    "describe_run",
    "next_sequence",
    "published",
    "read_folder",
    "read_sealed",
    "read_tensors",
    "read_unverified",
    "seal",
    "unseal",
    "verify_files",
    "verify_folder",
    "write_bundle",
]
