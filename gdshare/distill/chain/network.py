"""A torch module as a chain of hand-derived layers, and its weights in the chain's layout.

The layout: a convolution's weight is [out, live taps * in], taps row by row, dead taps left out; a
linear layer's columns follow (height, width, channels); all else is as in the module. ``pack`` and
``unpack`` go back and forth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdshare.dead_taps import LiveTaps, live_range
from gdshare.distill.chain.composition import Residual, Series
from gdshare.distill.chain.convolution import Convolution
from gdshare.distill.chain.layer import Layer
from gdshare.distill.chain.linear import Linear
from gdshare.distill.chain.norm import Norm
from gdshare.distill.chain.pointwise import MaxPool, MeanPool, Relu
from gdshare.distill.chain.weights import Matrix, Weights
from gdshare.networks import Parameters


@dataclass(frozen=True)
class Chain:
    """A network whose derivatives are written out.

    Attributes:
        layers: from the patch to the logits.
        taps: weight of a convolution -> its live taps.
        maps: weight of a linear layer -> (height, width) of the maps that it reads flattened.
        factors: type that the factors of convolutions' products are rounded to; None: their own.
    """

    layers: Series
    taps: Mapping[str, LiveTaps]
    maps: Mapping[str, tuple[int, int]]
    factors: torch.dtype | None = None

    def pack(self, parameters: Mapping[str, Tensor]) -> Weights:
        """Copy a module's parameters into the chain's layout."""
        packed = {name: self._copied(name, p) for name, p in parameters.items()}
        return Weights(
            {name: Matrix(packed[name], self.factors) for name in packed if name in self.taps},
            {name: packed[name] for name in packed if name not in self.taps},
        )

    def unpack(self, weights: Weights, base: Mapping[str, Tensor]) -> Parameters:
        """The module's parameters: ``base`` with its live part replaced by ``weights``."""
        whole = {name: parameter.detach().clone() for name, parameter in base.items()}
        for name, values in weights.named().items():
            live = self._live(name, whole[name])
            live.copy_(values.view(live.shape))
        return whole

    def _live(self, name: str, parameter: Tensor) -> Tensor:
        if name in self.taps:
            return self.taps[name].of(parameter).permute(0, 2, 3, 1)
        if name in self.maps:
            height, width = self.maps[name]
            return parameter.view(len(parameter), -1, height, width).permute(0, 2, 3, 1)
        return parameter

    def _copied(self, name: str, parameter: Tensor) -> Tensor:
        live = self._live(name, parameter)
        copy = torch.empty(live.shape, dtype=live.dtype, device=live.device).copy_(live)
        return copy.view(len(copy), -1) if copy.dim() > 1 else copy


def chain_of(module: nn.Module, side: int, factors: torch.dtype | None = None) -> Chain:
    """Read a network's structure off its module, for patches of ``side`` px.

    Args:
        module: a Sequential or torchvision's ResNet, which take their children in order.
        side: of the patches.
        factors: see ``Chain``.

    Raises:
        TypeError: a layer, or an option of one, that has no hand-derived form.
    """
    if not isinstance(module, nn.Sequential):
        # Importing torchvision takes longer than all else here, and the ConvNet does without.
        from torchvision.models.resnet import ResNet  # noqa: PLC0415

        if not isinstance(module, ResNet):
            raise _unknown("network", module)
    builder = _Builder()
    layers = builder.series(module, "", (side, side))[0]
    return Chain(Series(layers), builder.taps, builder.maps, factors)


Size = tuple[int, int]


class _Builder:
    """Walks a module with the size of the map at each point, which decides what taps are live."""

    def __init__(self) -> None:
        self.taps: dict[str, LiveTaps] = {}
        self.maps: dict[str, Size] = {}

    def series(self, module: nn.Module, path: str, size: Size) -> tuple[list[Layer], Size]:
        layers: list[Layer] = []
        for name, child in module.named_children():
            inside, size = self.layer(child, f"{path}{name}", size)
            layers += inside
        return layers, size

    def layer(self, module: nn.Module, path: str, size: Size) -> tuple[list[Layer], Size]:
        if not _plain(module, size):
            raise _unknown(path, module)
        if isinstance(module, nn.Sequential):
            return self.series(module, f"{path}.", size)
        if isinstance(module, nn.Conv2d):
            return self.convolution(module, path, size)
        if isinstance(module, nn.GroupNorm):
            return [Norm(path, module.num_groups, module.eps)], size
        if isinstance(module, nn.ReLU):
            return [Relu()], size
        if isinstance(module, nn.MaxPool2d):
            kernel, stride, pad = (
                _one(n) for n in (module.kernel_size, module.stride, module.padding)
            )
            return [MaxPool(kernel, stride, pad)], _pooled(size, (kernel, kernel), stride, pad)
        if isinstance(module, nn.AvgPool2d):
            step = _one(module.kernel_size)
            return [MeanPool(step)], (size[0] // step, size[1] // step)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            return [MeanPool(None)], (1, 1)
        if isinstance(module, nn.Flatten):
            return [], size
        if isinstance(module, nn.Linear):
            self.maps[f"{path}.weight"] = size
            return [Linear(path)], (1, 1)
        return self.block(module, path, size)

    def convolution(self, module: nn.Conv2d, path: str, size: Size) -> tuple[list[Layer], Size]:
        stride, pad = module.stride[0], int(module.padding[0])
        out = _pooled(size, (module.kernel_size[0], module.kernel_size[1]), stride, pad)
        (r0, r1, top, bottom), (c0, c1, left, right) = (
            live_range(size[axis], out[axis], module.kernel_size[axis], stride, pad)
            for axis in (0, 1)
        )
        self.taps[f"{path}.weight"] = LiveTaps(slice(r0, r1), slice(c0, c1))
        kernel = (r1 - r0, c1 - c0)
        layer = Convolution(
            path,
            kernel,
            stride,
            (top, bottom, left, right),
            module.bias is not None,
            kernel == module.kernel_size,
        )
        return [layer], out

    def block(self, module: nn.Module, path: str, size: Size) -> tuple[list[Layer], Size]:
        from torchvision.models.resnet import BasicBlock  # noqa: PLC0415 - see chain_of

        if not isinstance(module, BasicBlock):
            raise _unknown(path, module)
        main: list[Layer] = []
        inner = size
        for name in ("conv1", "bn1", "relu", "conv2", "bn2"):
            part, inner = self.layer(getattr(module, name), f"{path}.{name}", inner)
            main += part
        shortcut: list[Layer] = []
        if module.downsample is not None:
            shortcut, _ = self.layer(module.downsample, f"{path}.downsample", size)
        return [Residual(Series(main), Series(shortcut)), Relu()], inner


def _unknown(path: str, module: nn.Module) -> TypeError:
    what = f"{type(module).__name__}({module.extra_repr()})"
    return TypeError(f"{path}: no derivatives are written out for {what}")


def _plain(module: nn.Module, size: Size) -> bool:
    """Whether a module asks for nothing of its kind that the layers here do not know."""
    if isinstance(module, nn.Conv2d):
        kinds = module.dilation, module.groups, module.padding_mode
        return kinds == ((1, 1), 1, "zeros") and _same(module.stride) and _same(module.padding)
    if isinstance(module, nn.GroupNorm):
        return module.affine
    if isinstance(module, nn.MaxPool2d):
        shape = module.kernel_size, module.stride, module.padding
        return all(map(_same, shape)) and module.dilation == 1 and not module.ceil_mode
    if isinstance(module, nn.AvgPool2d):
        apart = _same(module.kernel_size) and module.stride == module.kernel_size
        step = _one(module.kernel_size)
        return apart and module.padding == 0 and not (size[0] % step or size[1] % step)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return module.output_size in (1, (1, 1))
    return not isinstance(module, nn.Linear) or module.bias is not None


def _same(size: str | int | tuple[int, ...]) -> bool:
    """Whether a size is one number, or one for both directions."""
    return isinstance(size, int) or (isinstance(size, tuple) and len(set(size)) == 1)


def _one(size: int | tuple[int, ...]) -> int:
    """The same number in both directions, which torch may spell once or twice."""
    return size if isinstance(size, int) else size[0]


def _pooled(size: Size, kernel: Size, stride: int, pad: int) -> Size:
    return (
        (size[0] + 2 * pad - kernel[0]) // stride + 1,
        (size[1] + 2 * pad - kernel[1]) // stride + 1,
    )
