import pytest
import torch

from gdshare.distill.precision import fitted, fitting
from gdshare.method import Settings


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_the_convnet_gets_rounded_factors_where_the_processor_multiplies_them(monkeypatch, name):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: True})
    assert fitting("convnet", "cpu") == "bfloat16"


def test_none_are_rounded_where_that_was_not_measured_to_be_faster(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert fitting("resnet18", "cpu") == "float32"
    assert fitting("convnet", "cuda") == "float32"


def test_none_are_rounded_where_they_would_be_emulated(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert fitting("convnet", "cpu") == "float32"


def test_none_are_rounded_where_torch_cannot_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert fitting("convnet", "cpu") == "float32"


def test_the_precision_that_is_asked_for_is_kept(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert fitted(Settings(network="convnet"), "cpu").precision == "bfloat16"
    assert fitted(Settings(network="convnet", precision="float32"), "cpu").precision == "float32"
