"""The first act: handing over the newest bundle that a person put into the outbox.

A bundle is made elsewhere, by ``gdshare publish``, under another user of the operating system. The
node reads, within bounds, the six files of one bundle; it neither signs nor repairs.
"""

from pathlib import Path

from gdshare.bundle import published, read_folder
from gdshare.errors import BundleError
from gdshare.questions import Fields, Reason, Value
from hospital_node.refused import RefusedError
from hospital_node.settings import NodeSettings


def answer_collect(settings: NodeSettings, received: Fields) -> dict[str, Value]:
    """Answer ``query.collect``: file name -> content, of the newest bundle.

    Raises:
        RefusedError: there is none, or what lies there is not a bundle.
    """
    if received:
        raise RefusedError(Reason.QUESTION_MALFORMED, "collect asks for nothing in particular")
    try:
        return dict(read_folder(_newest(settings.outbox)))
    except (BundleError, OSError) as error:
        raise RefusedError(Reason.OUTBOX_UNREADABLE, str(error)) from error


def _newest(outbox: Path) -> Path:
    """The folder with the highest sequence number; an outbox serves one site."""
    released = published(outbox)
    if not released:
        raise RefusedError(Reason.NOTHING_RELEASED)
    if len({path.name.rpartition("-")[0] for path in released}) > 1:
        raise RefusedError(
            Reason.OUTBOX_UNREADABLE, f"{outbox}: holds bundles of several sites; keep one a node"
        )
    return released[-1]  # one site's are listed in the order of their numbers
