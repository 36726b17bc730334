"""How much arithmetic a training step is, and how fast this machine multiplies matrices."""

import time
from statistics import median

import torch
from torch import Tensor, nn

GEMM_SIDE = 1024
GEMM_REPEATS = 15


def forward_flops(module: nn.Module, side: int) -> int:
    """Floating-point operations of one patch's forward pass: 2 a multiply-add.

    Counted from the shapes of convolutions and linear layers; beside those, norms, activations and
    pooling are small.

    Args:
        module: on the meta device; nothing is computed.
        side: of the patch, px.
    """
    flops = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal flops
        if isinstance(layer, nn.Conv2d):
            taps = layer.kernel_size[0] * layer.kernel_size[1]
            flops += 2 * output.numel() * layer.in_channels // layer.groups * taps
        elif isinstance(layer, nn.Linear):
            flops += 2 * output.numel() * layer.in_features

    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    module(torch.empty(1, 1, side, side, device="meta"))
    for hook in hooks:
        hook.remove()
    return flops


def outer_step_flops(forward: int, images: int, steps: int, batch: int) -> int:
    """Floating-point operations that one training step cannot do without.

    With F those of a forward pass: an inner step's gradient is F forward and 2F back, on each of M
    images. Sending a vector back through that gradient touches each of its three products once
    more for each of their two factors, 6F. The final loss on the minibatch and its derivative by
    the weights are 3F a patch. In all, F · (9 · M · E · I + 3 · K). What an engine computes a
    second time to save memory is not counted in its favour, nor are Adam and the drawing of θ0.

    Args:
        forward: F, of one patch.
        images: M.
        steps: E · I.
        batch: K.
    """
    return forward * (9 * images * steps + 3 * batch)


def gemm_gflops() -> float:
    """Speed of a float32 product of two 1024 x 1024 matrices, GFLOP a CPU-second, one thread."""
    a, b = torch.randn(2, GEMM_SIDE, GEMM_SIDE, dtype=torch.float32)
    seconds = []
    for _ in range(GEMM_REPEATS):
        began = time.process_time()
        a @ b
        seconds.append(time.process_time() - began)
    return 2 * GEMM_SIDE**3 / median(seconds) / 1e9
