"""What a hospital with few films takes from other hospitals' images (beyond the source).

The source names transfer learning with the distilled images as future work. The pooled network is
the one that an aggregator would train from these images with the same seed, whatever the way, so a
hospital gains from every change to pooling. A typical use::

    transfer = transfer_from(contributions, protocol, "start", "average", seed=0)
    plan = TrainingPlan(network=contributions[0].method.network)
    trained = train_on_real([cohort], plan, transfer=transfer)
"""

from collections.abc import Sequence

import torch

from gdshare.distill.score import tensors_of
from gdshare.pooling import Contribution, Scheme, train_pooled
from gdshare.protocol import Protocol
from gdshare.training import Transfer
from gdshare.training_folder import Use


def transfer_from(
    contributions: Sequence[Contribution],
    protocol: Protocol,
    use: Use,
    scheme: Scheme,
    seed: int,
) -> Transfer:
    """Train one network on others' images, and gather these.

    Images that teach no finite network are refused, even where only the images are used.

    Args:
        contributions: at least one; their order does not matter.
        protocol: of all their patches; the caller checks that it is the same.
        use: what the training takes.
        scheme, seed: see ``train_pooled``.

    Raises:
        DivergedError, UsageError: see ``train_pooled``.
    """
    (start,) = train_pooled(contributions, protocol, scheme, seed, ensemble=1).ensemble
    ordered = sorted(contributions, key=lambda contribution: contribution.site)
    data = [tensors_of(part.distilled, part.method.sets, torch.device("cpu")) for part in ordered]
    images = torch.cat([part.images for part in data])
    return Transfer(use, start, images, torch.cat([part.labels for part in data]))
