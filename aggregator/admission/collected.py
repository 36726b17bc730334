"""What the nodes sent, split into bundles, withdrawals and refusals."""

from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.flower.exchange import Replies
from aggregator.refusals import Refusal
from gdshare.bundle.outbox import is_withdrawal
from gdshare.messages import MAX_WITHDRAWALS, Fields, Reason


@dataclass(frozen=True)
class Collected:
    """Content from strangers.

    Attributes:
        bundles: node -> file name -> content.
        withdrawals: node -> file name -> content, at most ``MAX_WITHDRAWALS`` per node.
        refusals: of nodes that sent no bundle, or too many withdrawals.
    """

    bundles: Mapping[int, Mapping[str, bytes]]
    withdrawals: Mapping[int, Mapping[str, bytes]]
    refusals: tuple[Refusal, ...]

    @property
    def bundle_bytes(self) -> int:
        """The size of all bundles."""
        return sum(len(data) for files in self.bundles.values() for data in files.values())


def split_files(replies: Replies) -> Collected:
    """Separate bundles from withdrawals by the names of their files."""
    bundles: dict[int, dict[str, bytes]] = {}
    withdrawals: dict[int, dict[str, bytes]] = {}
    refusals = [
        Refusal(node, None, reason.value, "the node sent nothing")
        for node, reason in sorted(replies.refused.items())
    ]
    for node, fields in sorted(replies.answers.items()):
        files = _bytes_in(fields)
        withdrawn = {name: data for name, data in files.items() if is_withdrawal(name)}
        bundle = {name: data for name, data in files.items() if name not in withdrawn}
        if withdrawn:
            withdrawals[node] = dict(sorted(withdrawn.items())[:MAX_WITHDRAWALS])
        if len(withdrawn) > MAX_WITHDRAWALS:
            message = f"sent {len(withdrawn)} withdrawals, of which {MAX_WITHDRAWALS} were read"
            refusals.append(Refusal(node, None, "Oversized", message))
        if bundle or not withdrawn:
            bundles[node] = bundle
        else:
            message = "the node sent withdrawals and no bundle"
            refusals.append(Refusal(node, None, Reason.NOTHING_RELEASED.value, message))
    return Collected(bundles, withdrawals, tuple(refusals))


def _bytes_in(fields: Fields) -> dict[str, bytes]:
    """The fields that hold bytes; a file with another value counts as missing."""
    return {name: value for name, value in fields.items() if isinstance(value, bytes)}
