"""Gradient inversion: inputs that would move the last layer as a set of images moved it.

Whoever sees the weights before and after a training, and not the images, knows the update of the
last layer. A window x of class c would itself make the update (y - p) φᵀ, where φ is what the
layer reads of it, y the one-hot label and p the prediction. So from gray an input is sought for
each class whose own update points as the seen one does, while its total variation stays small::

    log(1 - cos((y - p) φ(x)ᵀ, update)) + SMOOTH · TV(x)

The logarithm keeps the slope from fading where the two nearly agree: details are found there.

Source: Geiping, Bauermeister, Dröge, Moeller, "Inverting gradients: how easy is it to break privacy
in federated learning?", NeurIPS 2020, with the last layer's update in place of all.

Shapes in the comments::

    L  classes
    F  features
    s  side of a window in px
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from gdshare.seeding import torch_generator

STEPS = 100
RATE = 0.3
"""Of Adam at the first step, in units of normalised pixels; it falls to 0 by a half cosine."""
SMOOTH = 0.5
SMALLEST = 1e-6
"""Distance that counts as none."""
START = 0.3
"""Deviation of the start around gray: at gray itself moduli have no derivative."""
FURTHEST = 2.5
"""Of a pixel from gray, in normalised units: no film is brighter or darker by much."""


@dataclass(frozen=True)
class Update:
    """What an attacker sees of a training.

    Attributes:
        features: what the last layer reads, [n, 1, s, s] -> [n, F], differentiable.
        weight, bias: of the last layer before, [L, F] and [L].
        moved: what the training added to the weight, [L, F].
    """

    features: Callable[[Tensor], Tensor]
    weight: Tensor
    bias: Tensor
    moved: Tensor

    def alignment(self, x: Tensor, classes: Tensor) -> Tensor:
        """Cosines of inputs' own updates with the seen one: [n, 1, s, s], [n] -> [n]."""
        read = self.features(x)  # [n, F]
        predicted = functional.softmax(functional.linear(read, self.weight, self.bias), dim=1)
        slope = functional.one_hot(classes, len(self.bias)).to(predicted) - predicted  # [n, L]
        product = (slope * (read @ self.moved.T)).sum(1)
        lengths: Tensor = slope.norm(dim=1) * read.norm(dim=1) * self.moved.norm()
        cosines: Tensor = product / lengths.clamp_min(1e-12)
        return cosines


def own_update(seen: Update, x: Tensor, label: int) -> Update:
    """The update that a single window makes, as a receiver of the window itself would train.

    Args:
        seen: of the same network; its update is not used.
        x: the window, float32 [1, 1, s, s], normalised.
        label: its class.
    """
    with torch.no_grad():
        read = seen.features(x)  # [1, F]
        predicted = functional.softmax(functional.linear(read, seen.weight, seen.bias), dim=1)
        wanted = functional.one_hot(torch.tensor([label], device=x.device), len(seen.bias))
        moved = (wanted - predicted).T @ read  # [L, F]
    return Update(seen.features, seen.weight, seen.bias, moved)


def invert(seen: Update, side: int, steps: int = STEPS) -> npt.NDArray[np.float32]:
    """Seek an input for each class.

    Args:
        seen: of the training that is attacked.
        side: of the inputs, px.
        steps: of Adam.

    Returns:
        float32 [L, side, side], normalised.
    """
    device, labels = seen.moved.device, len(seen.bias)
    noise = torch.randn(1, 1, side, side, generator=torch_generator(0, "audit-inversion"))
    x = (START * noise).repeat(labels, 1, 1, 1).to(device).requires_grad_()
    classes = torch.arange(labels, device=device)
    optimiser = torch.optim.Adam([x], lr=RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * (1.0 + cos(pi * step / steps)) / 2.0
        distance = (1.0 - seen.alignment(x, classes)).clamp_min(SMALLEST)
        loss = (distance.log() + SMOOTH * _variation(x)).sum()
        (gradient,) = torch.autograd.grad(loss, [x])
        x.grad = torch.nan_to_num(gradient)
        optimiser.step()
        with torch.no_grad():
            x.clamp_(-FURTHEST, FURTHEST)
    return np.asarray(x.detach()[:, 0].cpu().numpy())


def _variation(x: Tensor) -> Tensor:
    """The mean difference of neighbouring pixels: [n, 1, s, s] -> [n]."""
    down = (x[..., 1:, :] - x[..., :-1, :]).abs().mean((1, 2, 3))
    across = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
    total: Tensor = down + across
    return total
