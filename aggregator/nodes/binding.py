"""``trust-nodes.json``, beside the trust folder: the SuperLink's numbers of nodes, and their sites.

::

    names = site_names(Path("trust"))
    names.get(message.metadata.src_node_id, "node 17…")

A name here says which hospital's key was registered, as a person bound it. Whose a bundle is says
its signature alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import TrustError
from gdshare.lock import lock, lock_beside
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.signing.names import Digest, SiteName
from gdshare.storage import make_folder, write_json

NUMBER: Final = r"^[0-9]{1,20}$"


class BoundNode(BaseModel):
    """One node.

    Attributes:
        node: the SuperLink's number of it, as text: JSON's numbers are too small.
        site: the hospital's short name.
        fingerprint: SHA-256 of the node's key (DER).
        since: when it was bound.
        by: who did it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: Annotated[str, Field(pattern=NUMBER)]
    site: SiteName
    fingerprint: Digest
    since: datetime
    by: Annotated[str, Field(max_length=200)]


class Binding(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-nodes/1"] = "gdshare-nodes/1"
    nodes: Annotated[tuple[BoundNode, ...], Field(max_length=100_000)] = ()

    def of_site(self, site: str) -> tuple[BoundNode, ...]:
        """The nodes of a hospital."""
        return tuple(node for node in self.nodes if node.site == site)

    def with_node(self, added: BoundNode) -> "Binding":
        """One more; an older entry of the same number or key gives way."""
        kept = [
            node
            for node in self.nodes
            if added.node != node.node and added.fingerprint != node.fingerprint
        ]
        return Binding(nodes=(*kept, added))

    def without(self, numbers: frozenset[str]) -> "Binding":
        """Without these nodes."""
        return Binding(nodes=tuple(node for node in self.nodes if node.node not in numbers))


def nodes_beside(trust: Path) -> Path:
    """The file that belongs to a trust folder."""
    return trust.absolute().with_name(f"{trust.absolute().name}-nodes.json")


def site_names(trust: Path) -> Mapping[int, str]:
    """The hospital of each bound node, by the SuperLink's number; empty where nobody bound any.

    Args:
        trust: the folder of the hospitals' public keys.

    Raises:
        TrustError: the file is damaged.
    """
    return {int(node.node): node.site for node in read_binding(trust).nodes}


def read_binding(trust: Path) -> Binding:
    """The whole file; one that is missing has no nodes.

    Raises:
        TrustError: it is damaged.
    """
    path = nodes_beside(trust)
    try:
        return Binding.model_validate_json(read_plain(path, MAX_RECORD))
    except FileNotFoundError:
        return Binding()
    except (OSError, ValidationError) as error:
        raise TrustError(
            "cannot be read", path, "put its last copy back, or bind the nodes again"
        ) from error


@contextmanager
def changing(trust: Path) -> Iterator["Change"]:
    """Lock the file until the block ends.

    Raises:
        TrustError: it is damaged.
        LockedError: another command keeps it locked.
    """
    path = nodes_beside(trust)
    make_folder(path.parent)
    with lock(lock_beside(path)):
        yield Change(path, read_binding(trust))


class Change:
    """The file while it is locked."""

    def __init__(self, path: Path, binding: Binding) -> None:
        """As ``changing`` read it."""
        self.path, self.binding = path, binding

    def write(self, binding: Binding) -> None:
        """Put another in its place; it is on the disk on return."""
        write_json(self.path, binding.model_dump(mode="json"))
        self.binding = binding
