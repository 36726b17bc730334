"""Who this node is to a SuperLink: its key, and the number that it had there last.

A node without a registered key draws one and keeps it in ``state``, so that after a restart it is
the same node, and the SuperLink's questions to it reach it. By the number a node that was killed is
taken off the list at once, where it would otherwise stand as connected for a minute.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import KeyFileError
from gdshare.plain_files import read_plain
from gdshare.storage import write_bytes, write_json
from hospital_node.keys import read_node_key

KEY_FILE: Final = "node-key"
NUMBER_FILE: Final = "node.json"
MAX_BYTES: Final = 4096

log = logging.getLogger(__name__)


class NodeNumber(BaseModel):
    """``node.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-node/1"] = "gdshare-node/1"
    superlink: str
    node: Annotated[int, Field(ge=1, lt=2**64)]


@dataclass(frozen=True)
class Identity:
    """Who this node is.

    Attributes:
        key: signs each request.
        state: the node's own folder.
    """

    key: ec.EllipticCurvePrivateKey
    state: Path

    def number_at(self, superlink: str) -> int | None:
        """The number that this node had last at a SuperLink; None: it was at none, or another."""
        with suppress(OSError, ValidationError):
            content = read_plain(self.state / NUMBER_FILE, MAX_BYTES)
            known = NodeNumber.model_validate_json(content)
            return known.node if known.superlink == superlink else None
        return None

    def remember(self, superlink: str, number: int) -> None:
        """Keep the number; without it, a kill costs a minute and nothing else."""
        try:
            known = NodeNumber(superlink=superlink, node=number)
            write_json(self.state / NUMBER_FILE, known.model_dump(mode="json"))
        except (OSError, ValidationError) as error:
            log.warning("the node's number is not kept (%s)", error)


def drawn_key(state: Path) -> ec.EllipticCurvePrivateKey:
    """The key that this node drew for itself; it draws one if there is none.

    Raises:
        KeyFileError: the file is no key, or others may read it.
        OSError: it cannot be written.
    """
    path = state / KEY_FILE
    if path.exists():
        try:
            return read_node_key(path)
        except KeyFileError as error:
            raise KeyFileError(error.what, path, "delete it, and another is drawn") from error
    key = ec.generate_private_key(ec.SECP384R1())
    content = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    write_bytes(path, content, 0o600)
    return key
