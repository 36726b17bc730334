"""The bundles that hospitals have handed over, beside the trust folder: none is sent twice.

::

    TRUST-bundles/
        DIGEST/        the files of a bundle, as they came
        nodes.json     node -> the digest of the bundle that it handed over last

A bundle is verified each time it is used, so what lies here is trusted no more than what is sent.
A withdrawn bundle is deleted as soon as a round knows of the withdrawal.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gdshare.bundle import read_folder
from gdshare.errors import BundleError
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.storage import make_folder, new_folder, write_bytes, write_json

NODES = "nodes.json"


def bundles_beside(ledger: Path) -> Path:
    """The folder that belongs to an aggregator's ledger."""
    return ledger.with_name(f"{ledger.stem.removesuffix('-ledger')}-bundles")


@dataclass(frozen=True)
class BundleStore:
    """The bundles in a folder, which is made with the first."""

    folder: Path

    def of_node(self, node: int) -> str | None:
        """The digest of the bundle that a node handed over last, if it is here."""
        digest = self._nodes().get(str(node))
        return digest if digest is not None and self.files(digest) is not None else None

    def files(self, digest: str) -> Mapping[str, bytes] | None:
        """The files of a bundle, or None."""
        try:
            return read_folder(self.folder / digest)
        except (BundleError, OSError):
            return None

    def put(self, node: int, digest: str, files: Mapping[str, bytes]) -> None:
        """Keep a verified bundle, and who handed it over."""
        make_folder(self.folder)
        path = self.folder / digest
        if self.files(digest) is None:
            shutil.rmtree(path, ignore_errors=True)
            # Another round may put the same bundle there meanwhile.
            with suppress(FileExistsError), new_folder(path) as aside:
                for name, content in files.items():
                    write_bytes(aside / name, content)
        nodes = self._nodes()
        if nodes.get(str(node)) != digest:
            write_json(self.folder / NODES, {**nodes, str(node): digest})

    def drop(self, digests: Iterable[str]) -> None:
        """Delete bundles, such as withdrawn ones; those that are not here are passed over."""
        for digest in digests:
            shutil.rmtree(self.folder / digest, ignore_errors=True)

    def _nodes(self) -> dict[str, str]:
        try:
            values = json.loads(read_plain(self.folder / NODES, MAX_RECORD))
        except (OSError, ValueError):
            return {}
        if not isinstance(values, dict):
            return {}
        return {node: digest for node, digest in values.items() if isinstance(digest, str)}
