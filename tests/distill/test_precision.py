import pytest
import torch

from gdshare.distill.precision import fastest_precision, with_precision
from gdshare.errors import UsageError
from gdshare.method import Settings


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_convnet_gets_bfloat16_where_the_processor_multiplies_it(monkeypatch, name):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: True})
    assert fastest_precision("convnet", "cpu") == "bfloat16"


def test_float32_stays_where_bfloat16_was_not_measured_to_be_faster(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert fastest_precision("resnet18", "cpu") == "float32"
    assert fastest_precision("convnet", "cuda") == "float32"


def test_float32_stays_where_bfloat16_would_be_emulated(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert fastest_precision("convnet", "cpu") == "float32"


def test_float32_stays_where_torch_does_not_list_capabilities(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert fastest_precision("convnet", "cpu") == "float32"


def test_a_head_is_trained_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert with_precision(Settings(network="convnet", train="head"), "cpu").precision == "float32"
    with pytest.raises(UsageError, match="--precision bfloat16: a head is trained in float32"):
        with_precision(Settings(network="convnet", train="head", precision="bfloat16"), "cpu")


def test_a_precision_that_is_asked_for_is_kept(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert with_precision(Settings(network="convnet"), "cpu").precision == "bfloat16"
    assert (
        with_precision(Settings(network="convnet", precision="float32"), "cpu").precision
        == "float32"
    )
