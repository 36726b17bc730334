"""Wavelet scattering: fixed features of a patch, with nothing to learn and nothing to announce.

A patch is filtered by wavelets of several scales and directions, the modulus is taken, and both are
done once more (Bruna and Mallat 2013). Means over cells say how much texture of which scale and
direction lies where; their logarithms make a change of contrast a mere shift. Small shifts and
deformations of the patch change little, and noise from another detector less than in pixels.

Shapes in the comments::

    n  patches
    s  side of a patch in px
    J  scales, L directions
"""

from functools import lru_cache
from math import log2, pi

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.errors import UsageError

CELLS = 4
"""Means are taken over CELLS x CELLS parts of a patch."""
DIRECTIONS = 8
"""Over half a turn: the other half has the same moduli."""
FINEST = 3 * pi / 4
"""Centre frequency of the finest wavelets, radians a pixel; each scale halves it."""
WIDTH = 0.8
"""Deviation of the finest wavelets' envelope, px; each scale doubles it."""
FLOOR = 0.02
"""Added before the logarithm, in units of normalised patches, so that flat regions count for
little.
"""

TOGETHER = 64
"""Patches at a time: of more, the moduli do not fit the processor's cache."""


class Scattering(nn.Module):
    """Patches float32 [n, 1, s, s], normalised -> features float32 [n, F], differentiable by them.

    Attributes:
        side: of the patches, s.
        scales: J, as many as give the coarsest wavelets the size of a cell.
        features: F = CELLS² · (1 + J·L + J·(J-1)/2·L²).

    Raises:
        UsageError: the side is no multiple of CELLS, or has no room for a wavelet.
    """

    def __init__(self, side: int) -> None:  # noqa: D107 - the class says it
        super().__init__()
        if side % CELLS or side < 2 * CELLS:
            raise UsageError(
                f"network scattering divides its input into {CELLS} x {CELLS} cells: --side {side} "
                f"must be a multiple of {CELLS}, and at least {2 * CELLS}"
            )
        self.side = side
        self.scales = int(log2(side // CELLS))
        paths = self.scales * DIRECTIONS
        pairs = self.scales * (self.scales - 1) // 2 * DIRECTIONS**2
        self.features = CELLS**2 * (1 + paths + pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Features of patches."""
        if len(x) > TOGETHER:
            return torch.cat([self(part) for part in torch.split(x, TOGETHER)])
        bank = wavelets(self.side, self.scales, x.device)  # [J, L, s, s]
        spectrum = torch.fft.fft2(x)  # [n, 1, s, s]
        parts = [_cells(x)]
        for scale in range(self.scales):
            first = _modulus(torch.fft.ifft2(spectrum * bank[scale]))  # [n, L, s, s]
            parts.append(_log_cells(first))
            coarser = bank[scale + 1 :]
            if len(coarser):
                again = torch.fft.fft2(first).split(1, dim=1)  # L times [n, 1, s, s]
            for waves in coarser:
                # One direction after the other: all at once would take L times the memory.
                parts += [_log_cells(_modulus(torch.fft.ifft2(own * waves))) for own in again]
        return torch.cat(parts, dim=1)

    def extra_repr(self) -> str:
        """For messages."""
        return f"side={self.side}, scales={self.scales}"


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # kept, and used for derivatives whoever asked first
def wavelets(side: int, scales: int, device: torch.device) -> Tensor:
    """Morlet wavelets with round envelopes, by their Fourier transforms, which are real.

    Returns:
        float32 [J, L, side, side]; each is 0 at frequency 0, so no wavelet sees mean brightness.
    """
    axis = 2 * pi * torch.fft.fftfreq(side, dtype=torch.float64)
    down, right = torch.meshgrid(axis, axis, indexing="ij")  # [s, s], radians a pixel
    angles = pi / DIRECTIONS * torch.arange(DIRECTIONS, dtype=torch.float64)
    angles = angles.view(-1, 1, 1)
    along = right * angles.cos() + down * angles.sin()  # [L, s, s]
    across = down * angles.cos() - right * angles.sin()
    bank = []
    for scale in range(scales):
        centre, variance = FINEST / 2**scale, (WIDTH * 2**scale) ** 2
        wave = torch.exp(-variance / 2 * ((along - centre) ** 2 + across**2))
        mean = torch.exp(-variance / 2 * (along**2 + across**2))  # 1 at frequency 0
        bank.append(wave - wave[:, :1, :1] * mean)
    return torch.stack(bank).float().to(device)


def _modulus(waves: Tensor) -> Tensor:
    """|z| of complex64 numbers: float32, same shape.

    Where no derivative is wanted, by numpy on a processor: ten times as fast as torch 2.14, in
    which it takes half of all the time. The two differ by their rounding alone.
    """
    if waves.requires_grad or waves.device.type != "cpu":
        return waves.abs()
    return torch.from_numpy(np.abs(waves.numpy()))


def _cells(maps: Tensor) -> Tensor:
    """Means over cells: [n, c, s, s] -> [n, c · CELLS²]."""
    return functional.adaptive_avg_pool2d(maps, CELLS).flatten(1)


def _log_cells(maps: Tensor) -> Tensor:
    return torch.log(_cells(maps) + FLOOR)
