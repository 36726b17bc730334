"""In how many bits the factors of the derivatives' matrix products are kept.

Weights, sums and all else stay float32 either way, and so does every training that is scored or
that a receiver runs. bfloat16 (float32's range, 8 bits of precision) is what recent processors
multiply fastest: the factors of a product are rounded to it, and so may its result be.
"""

from collections.abc import Mapping

import torch

from gdshare.errors import UsageError
from gdshare.method import Precision, Settings

FACTORS: Mapping[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Precision -> type of the factors."""

NATIVE = ("avx512_bf16", "amx_bf16")
"""Torch's names of the instructions that multiply bfloat16. Without either it is emulated, which is
slower than float32."""


def fastest_precision(network: str, device: str) -> Precision:
    """The faster precision of equal quality, where that was measured (docs/distill-options.md).

    It is bfloat16 for the ConvNet on a processor that multiplies it in hardware. ResNet18's three
    images make its products so thin that rounding its weights costs what the products gain; GPUs
    have not been measured.

    Args:
        network: by name.
        device: torch's name of where to compute.
    """
    # Torch before 2.11 does not list a processor's capabilities.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    native = any(capabilities.get(name) for name in NATIVE)
    return "bfloat16" if network == "convnet" and device == "cpu" and native else "float32"


def with_precision(settings: Settings, device: str) -> Settings:
    """The settings of a new run, with the machine's fastest precision unless one is set.

    Raises:
        UsageError: a precision is set that a head is never trained with.
    """
    if settings.train == "head" and settings.precision != "float32":
        raise UsageError(
            "a head is trained in float32 alone",
            f"--precision {settings.precision}",
            "leave it out with --train head",
        )
    if settings.train == "head" or "precision" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"precision": fastest_precision(settings.network, device)})
