"""The networks, and the named, versioned schemes that draw their initial weights.

A network here is a torch module used as a pure function: ``forward(module, parameters, x)``. The
module's own weights are never read. ``draw`` takes θ0 from the caller's generator, on the CPU
whatever the device, so that a seed gives the same weights everywhere.

Normalisation is over groups of channels within one image (GroupNorm, InstanceNorm): BatchNorm's
statistics over three distilled images say nothing about single patches, and a bundle carries no
others (method.md section 2).
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn

from gdshare.errors import UsageError
from gdshare.protocol import CLASSES
from gdshare.scattering import Scattering

Parameters = dict[str, Tensor]

INITIALISERS: Mapping[str, str] = {
    "resnet18": "near-identity/2",
    "convnet": "zero-head/1",
    "scattering": "zero-head/1",
}
"""Network -> name and version of its initialiser. A changed scheme is a new version."""

RESNET_GROUPS = 8
HEAD_DEVIATION = 0.01
CONVNET_CHANNELS = 128
CONVNET_BLOCKS = 3


def build(name: str, side: int, classes: int = len(CLASSES)) -> nn.Module:
    """Make a network for gray patches of ``side`` px, on the meta device: it has no weights.

    Args:
        name: one of ``INITIALISERS``.
        side: of the patches, px.
        classes: outputs of its last layer.

    Raises:
        UsageError: unknown name, or a side the network cannot take.
    """
    if name == "resnet18":
        return _resnet18(classes)
    if name == "convnet":
        return _convnet(side, classes)
    if name == "scattering":
        return _scattering(side, classes)
    raise UsageError(
        f"network {name!r} is unknown", remedy=f"choose one of {', '.join(INITIALISERS)}"
    )


def draw(name: str, module: nn.Module, generator: torch.Generator) -> Parameters:
    """Draw initial weights θ0 by the network's named scheme.

    Args:
        name: of the network.
        module: as ``build`` made it; only shapes are read.
        generator: a CPU generator; advanced by the draw.

    Returns:
        parameter name -> float32 CPU tensor.
    """
    silent = _last_norms_of_identity_blocks(module)
    scheme = partial(_near_identity, silent) if name == "resnet18" else _zero_head
    theta0: Parameters = {}
    for prefix, layer in module.named_modules():
        for leaf, parameter in layer.named_parameters(recurse=False):
            path = f"{prefix}.{leaf}" if prefix else leaf
            theta0[path] = scheme(path, leaf, layer, parameter, generator)
    return theta0


def forward(module: nn.Module, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Apply the network with the given weights: float32 [n, 1, side, side] -> [n, classes]."""
    logits: Tensor = torch.func.functional_call(module, dict(parameters), (x,))
    return logits


def digest(parameters: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and values, by which a consortium names its announced θ0."""
    sha = hashlib.sha256()
    for name in sorted(parameters):
        weight = parameters[name].detach().cpu().contiguous()
        sha.update(f"{name} {tuple(weight.shape)}\n".encode())
        sha.update(weight.numpy().tobytes())
    return sha.hexdigest()


def require_device(name: str) -> torch.device:
    """Check that torch can compute on a device.

    Raises:
        UsageError: unknown, or not on this machine.
    """
    try:
        device = torch.empty(0, device=name).device
        if device.type == "cuda":
            # TF32 would round half of a step's products to ten bits, and the other half not.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        return device
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--device {name}: torch cannot use it here",
            remedy="choose cpu, or cuda where there is a GPU",
        ) from error


def _resnet18(classes: int) -> nn.Module:
    """torchvision's ResNet18 (He et al. 2016) with one input channel and GroupNorm of 8 groups."""
    # Importing torchvision takes longer than all else here, and the ConvNet does not need it.
    from torchvision.models.resnet import BasicBlock, ResNet  # noqa: PLC0415

    norm: Callable[..., nn.Module] = partial(nn.GroupNorm, RESNET_GROUPS)
    with torch.device("meta"):  # takes no memory, and nothing from the global generator
        network: nn.Module = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes, norm_layer=norm)
        network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network


def _convnet(side: int, classes: int) -> nn.Module:
    """The ConvNet of the dataset-condensation literature (Gidaris and Komodakis 2018).

    Three blocks of 3x3 convolution with 128 channels, InstanceNorm with scale and shift, ReLU,
    2x2 average pooling; then one linear layer.
    """
    if side % 2**CONVNET_BLOCKS:
        raise UsageError(
            f"network convnet halves its input {CONVNET_BLOCKS} times: --side {side} must be a "
            f"multiple of {2**CONVNET_BLOCKS}"
        )
    with torch.device("meta"):
        layers: list[nn.Module] = []
        for block in range(CONVNET_BLOCKS):
            inputs = CONVNET_CHANNELS if block else 1
            layers += [
                nn.Conv2d(inputs, CONVNET_CHANNELS, kernel_size=3, padding=1),
                nn.GroupNorm(CONVNET_CHANNELS, CONVNET_CHANNELS),  # a group a channel: InstanceNorm
                nn.ReLU(),
                nn.AvgPool2d(2),
            ]
        features = CONVNET_CHANNELS * (side // 2**CONVNET_BLOCKS) ** 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, classes))


def _scattering(side: int, classes: int) -> nn.Module:
    """Wavelet scattering and one linear layer: the only weights (see ``scattering``)."""
    with torch.device("meta"):
        fixed = Scattering(side)
        return nn.Sequential(fixed, nn.Linear(fixed.features, classes))


def _last_norms_of_identity_blocks(module: nn.Module) -> frozenset[str]:
    """Scales of the last norms of residual blocks with an identity shortcut."""
    return frozenset(
        f"{path}.bn2.weight"
        for path, block in module.named_modules()
        if hasattr(block, "downsample") and block.downsample is None
    )


def _near_identity(
    silent: frozenset[str],
    path: str,
    leaf: str,
    layer: nn.Module,
    parameter: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """``near-identity/2``: every residual block with an identity shortcut starts as the identity.

    Convolutions: normal, deviation sqrt(2 / fan_out) (He et al. 2015, torchvision's choice). Norms:
    scale 1, shift 0, but scale 0 for the last norm of a block with an identity shortcut (Goyal
    et al. 2017). Blocks that halve the map keep their main path: their shortcuts see one pixel in
    four, and of a 32 px patch ResNet18's three together would see little but the upper left corner
    (as in ``near-identity/1``). Head: normal with deviation 0.01, bias 0, so the first logits are
    near 0: with torchvision's own head, distillation was seen to spend its steps on shrinking large
    random logits, and to collapse to chance.

    Args:
        silent: names of the scales that start at 0.
        path: name of the parameter.
        leaf: last part of the name.
        layer: that the parameter belongs to.
        parameter: only its shape is read.
        generator: advanced by the draw.
    """
    empty = torch.empty(parameter.shape)
    if isinstance(layer, nn.Conv2d):
        fan_out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
        return empty.normal_(0.0, sqrt(2.0 / fan_out), generator=generator)
    if isinstance(layer, nn.Linear) and leaf == "weight":
        return empty.normal_(0.0, HEAD_DEVIATION, generator=generator)
    return empty.fill_(1.0 if leaf == "weight" and path not in silent else 0.0)


def _zero_head(
    path: str, leaf: str, layer: nn.Module, parameter: Tensor, generator: torch.Generator
) -> Tensor:
    """``zero-head/1``: convolutions as torch draws them, and a last layer of zeros.

    Convolutions: weights and biases uniform within 1 / sqrt(fan_in). Norms: scale 1, shift 0. With
    torch's own last layer (``torch-default/1``) every θ0 starts with a bias towards some class.
    Which class depends on θ0, so a few images cannot correct it, and distillation spent its time on
    trying.
    """
    empty = torch.empty(parameter.shape)
    if isinstance(layer, nn.Conv2d):
        bound = 1.0 / sqrt(layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1])
        return empty.uniform_(-bound, bound, generator=generator)
    return empty.fill_(1.0 if leaf == "weight" and not isinstance(layer, nn.Linear) else 0.0)
