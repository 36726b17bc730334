"""A torch module as a chain of hand-derived layers, and its weights in the chain's layout.

A convolution's weight becomes [O, T]: its live taps row by row, and the channels of each tap; a
linear layer's columns follow (height, width, channels); all else is as in the module. ``pack`` and
``unpack`` go back and forth. The shapes' letters are explained in ``layer``.

``CONVERTERS`` says how each class of module becomes layers. A class that is not in it is refused,
and so is an option that its layer does not know: nothing is approximated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gdshare.dead_taps import LiveTaps, live_range
from gdshare.distill.chain.composition import Residual, Series
from gdshare.distill.chain.convolution import Convolution
from gdshare.distill.chain.layer import Layer, to_nhwc
from gdshare.distill.chain.linear import Linear
from gdshare.distill.chain.norm import Norm
from gdshare.distill.chain.pointwise import MaxPool, MeanPool, Relu
from gdshare.distill.chain.weights import Matrix, Weights
from gdshare.networks import Parameters

Size = tuple[int, int]
"""Height and width of a map."""


@dataclass(frozen=True)
class Chain:
    """A network with its derivatives written out.

    Attributes:
        layers: from the patch to the logits.
        taps: weight of a convolution -> its live taps.
        maps: weight of a linear layer -> size of the maps that it reads flattened.
        factors: type that the factors of the convolutions' products are rounded to; None: the
            weights' own.
    """

    layers: Series
    taps: Mapping[str, LiveTaps]
    maps: Mapping[str, Size]
    factors: torch.dtype | None = None

    def pack(self, parameters: Mapping[str, Tensor]) -> Weights:
        """Copy a module's parameters into the chain's layout."""
        packed = {name: self._packed(name, p) for name, p in parameters.items()}
        return Weights(
            {name: Matrix(packed[name], self.factors) for name in packed if name in self.taps},
            {name: packed[name] for name in packed if name not in self.taps},
        )

    def unpack(self, weights: Weights, base: Mapping[str, Tensor]) -> Parameters:
        """The module's parameters: copies of ``base``, with the live part of ``weights``."""
        parameters = {name: parameter.detach().clone() for name, parameter in base.items()}
        for name, values in weights.named().items():
            live = self._live(name, parameters[name])
            live.copy_(values.view(live.shape))
        return parameters

    def _live(self, name: str, parameter: Tensor) -> Tensor:
        """A view of the part that the chain keeps, channels last."""
        if name in self.taps:
            return to_nhwc(self.taps[name].of(parameter))  # [O, k, l, C]
        if name in self.maps:
            height, width = self.maps[name]
            return to_nhwc(parameter.view(len(parameter), -1, height, width))  # [L, H, W, C]
        return parameter

    def _packed(self, name: str, parameter: Tensor) -> Tensor:
        live = self._live(name, parameter)
        copy = torch.empty(live.shape, dtype=live.dtype, device=live.device).copy_(live)
        return copy.view(len(copy), -1) if copy.dim() > 1 else copy  # [O, T] or [L, F]; [C]


@dataclass(frozen=True)
class Layout:
    """Where the chain's weights lie in the module's; filled while the module is converted.

    Attributes:
        taps, maps: see ``Chain``.
    """

    taps: dict[str, LiveTaps] = field(default_factory=dict)
    maps: dict[str, Size] = field(default_factory=dict)


Converted = tuple[list[Layer], Size]
"""Layers, and the size of the map that they write."""

Converter = Callable[[Any, str, Size, Layout], Converted]
"""From a module, its path in the network, the size of the map it reads, and the layout to fill."""

CONVERTERS: dict[str, Converter] = {}
"""Qualified name of a module's class -> its converter. Names and not classes: importing torchvision
takes longer than all else here, and the ConvNet does without it."""

RESNET = "torchvision.models.resnet"


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _converts(*kinds: type[nn.Module] | str) -> Callable[[Converter], Converter]:
    """Enter a converter for these classes; a class that is not to be imported, by its name."""

    def register(converter: Converter) -> Converter:
        names = (kind if isinstance(kind, str) else _class_name(kind) for kind in kinds)
        CONVERTERS.update(dict.fromkeys(names, converter))
        return converter

    return register


def chain_of(module: nn.Module, side: int, factors: torch.dtype | None = None) -> Chain:
    """Convert a network for patches of ``side`` px.

    Args:
        module: a Sequential or torchvision's ResNet; both run their children in order.
        side: of the patches.
        factors: see ``Chain``.

    Raises:
        TypeError: a layer, or an option of a layer, that has no hand-derived form.
    """
    if CONVERTERS.get(_class_name(type(module))) is not _children:
        raise _unknown("network", module)
    layout = Layout()
    layers, _ = _convert(module, "", (side, side), layout)
    return Chain(Series(layers), layout.taps, layout.maps, factors)


def _convert(module: nn.Module, path: str, size: Size, layout: Layout) -> Converted:
    converter = CONVERTERS.get(_class_name(type(module)))
    if converter is None:
        raise _unknown(path, module)
    return converter(module, path, size, layout)


@_converts(nn.Sequential, f"{RESNET}.ResNet")
def _children(module: nn.Module, path: str, size: Size, layout: Layout) -> Converted:
    layers: list[Layer] = []
    for name, child in module.named_children():
        inner, size = _convert(child, f"{path}.{name}" if path else name, size, layout)
        layers += inner
    return layers, size


@_converts(f"{RESNET}.BasicBlock")
def _basic_block(module: Any, path: str, size: Size, layout: Layout) -> Converted:
    main: list[Layer] = []
    out = size
    for name in ("conv1", "bn1", "relu", "conv2", "bn2"):
        inner, out = _convert(getattr(module, name), f"{path}.{name}", out, layout)
        main += inner
    shortcut: list[Layer] = []
    if module.downsample is not None:
        shortcut, _ = _convert(module.downsample, f"{path}.downsample", size, layout)
    return [Residual(Series(main), Series(shortcut)), Relu()], out


@_converts(nn.Conv2d)
def _convolution(module: nn.Conv2d, path: str, size: Size, layout: Layout) -> Converted:
    options = module.dilation, module.groups, module.padding_mode
    plain = options == ((1, 1), 1, "zeros")
    if not (plain and _square(module.stride) and _square(module.padding)):
        raise _unknown(path, module)
    stride, pad = module.stride[0], int(module.padding[0])
    out = _windows(size, (module.kernel_size[0], module.kernel_size[1]), stride, pad)
    (r0, r1, top, bottom), (c0, c1, left, right) = (
        live_range(size[axis], out[axis], module.kernel_size[axis], stride, pad) for axis in (0, 1)
    )
    layout.taps[f"{path}.weight"] = LiveTaps(slice(r0, r1), slice(c0, c1))
    kernel = (r1 - r0, c1 - c0)
    whole = kernel == module.kernel_size
    return [Convolution(path, kernel, stride, (top, bottom, left, right), whole)], out


@_converts(nn.GroupNorm)
def _norm(module: nn.GroupNorm, path: str, size: Size, layout: Layout) -> Converted:
    if not module.affine:
        raise _unknown(path, module)
    return [Norm(path, module.num_groups, module.eps)], size


@_converts(nn.ReLU)
def _relu(module: nn.ReLU, path: str, size: Size, layout: Layout) -> Converted:
    return [Relu()], size


@_converts(nn.MaxPool2d)
def _max_pool(module: nn.MaxPool2d, path: str, size: Size, layout: Layout) -> Converted:
    window = module.kernel_size, module.stride, module.padding
    if not all(map(_square, window)) or module.dilation != 1 or module.ceil_mode:
        raise _unknown(path, module)
    kernel, stride, pad = map(_side, window)
    return [MaxPool(kernel, stride, pad)], _windows(size, (kernel, kernel), stride, pad)


@_converts(nn.AvgPool2d)
def _mean_pool(module: nn.AvgPool2d, path: str, size: Size, layout: Layout) -> Converted:
    side = _side(module.kernel_size)
    apart = _square(module.kernel_size) and module.stride == module.kernel_size
    if not apart or module.padding != 0 or size[0] % side or size[1] % side:
        raise _unknown(path, module)
    return [MeanPool(side)], (size[0] // side, size[1] // side)


@_converts(nn.AdaptiveAvgPool2d)
def _global_mean(module: nn.AdaptiveAvgPool2d, path: str, size: Size, layout: Layout) -> Converted:
    if module.output_size not in (1, (1, 1)):
        raise _unknown(path, module)
    return [MeanPool(None)], (1, 1)


@_converts(nn.Flatten)
def _flatten(module: nn.Flatten, path: str, size: Size, layout: Layout) -> Converted:
    return [], size


@_converts(nn.Linear)
def _linear(module: nn.Linear, path: str, size: Size, layout: Layout) -> Converted:
    if module.bias is None:
        raise _unknown(path, module)
    layout.maps[f"{path}.weight"] = size
    return [Linear(path)], (1, 1)


def _unknown(path: str, module: nn.Module) -> TypeError:
    description = f"{type(module).__name__}({module.extra_repr()})"
    return TypeError(f"{path}: no derivatives are written out for {description}")


def _square(size: str | int | tuple[int, ...]) -> bool:
    """Whether a size is the same in both directions; ``same`` and ``valid`` are not sizes."""
    return isinstance(size, int) or (isinstance(size, tuple) and len(set(size)) == 1)


def _side(size: int | tuple[int, ...]) -> int:
    """A square size as a number; torch keeps it as a number or as a pair."""
    return size if isinstance(size, int) else size[0]


def _windows(size: Size, kernel: Size, stride: int, pad: int) -> Size:
    """How many windows fit into a padded map."""
    return (
        (size[0] + 2 * pad - kernel[0]) // stride + 1,
        (size[1] + 2 * pad - kernel[1]) // stride + 1,
    )
