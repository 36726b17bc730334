"""What nodes handed over when they were asked to, taken apart: bundles, withdrawals, nothing."""

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
        withdrawals: node -> file name -> content, of no node more than agreed.
        refusals: of nodes that handed over no bundle, or too many withdrawals.
    """

    bundles: Mapping[int, Mapping[str, bytes]]
    withdrawals: Mapping[int, Mapping[str, bytes]]
    refusals: tuple[Refusal, ...]

    @property
    def bundle_bytes(self) -> int:
        """The size of all bundles."""
        return sum(len(data) for files in self.bundles.values() for data in files.values())


def split_files(collected: Replies) -> Collected:
    """Tell bundles from withdrawals by the names of their files."""
    bundles: dict[int, dict[str, bytes]] = {}
    withdrawals: dict[int, dict[str, bytes]] = {}
    refusals = [
        Refusal(node, None, reason.value, "the node handed nothing over")
        for node, reason in sorted(collected.refused.items())
    ]
    for node, fields in sorted(collected.answers.items()):
        files = _bytes_in(fields)
        gone = {name: data for name, data in files.items() if is_withdrawal(name)}
        bundle = {name: data for name, data in files.items() if name not in gone}
        if gone:
            withdrawals[node] = dict(sorted(gone.items())[:MAX_WITHDRAWALS])
        if len(gone) > MAX_WITHDRAWALS:
            message = f"{len(gone)} withdrawals, of which {MAX_WITHDRAWALS} were looked at"
            refusals.append(Refusal(node, None, "Oversized", message))
        if bundle or not gone:
            bundles[node] = bundle
        else:
            message = "the node handed over withdrawals and no bundle"
            refusals.append(Refusal(node, None, Reason.NOTHING_RELEASED.value, message))
    return Collected(bundles, withdrawals, tuple(refusals))


def _bytes_in(fields: Fields) -> dict[str, bytes]:
    """What is not bytes is left out, so that a file counts as missing."""
    return {name: value for name, value in fields.items() if isinstance(value, bytes)}
