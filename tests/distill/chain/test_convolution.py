"""Convolutions of every shape: values, gradients, tangents; live taps; both ways to do them."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_kit import (
    laid,
    probe,
    require_four_passes,
    require_left_alone,
    same,
    tangent_of_still_input,
)
from torch import nn
from torch.autograd.functional import jvp

from gdshare.distill.chain import convolution
from gdshare.distill.chain.network import chain_of


@st.composite
def convolutions(draw):
    """A torch convolution and the side of a map that it takes."""
    taps = st.integers(1, 5)
    kernel = draw(taps), draw(taps)
    pad, side = draw(st.integers(0, min(kernel) - 1)), draw(st.integers(1, 9))
    assume(side + 2 * pad >= max(kernel))
    channels, stride, bias = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.booleans())
    torch.manual_seed(0)
    return nn.Conv2d(channels, 2, kernel, stride, pad, bias=bias), side


ROWS = {"by matrix": 10**9, "by library": 0}


def only(module, side):
    """The layer that a lone convolution becomes, and random input for it as the chain lays it."""
    one = probe(module, module.in_channels, side)
    (layer,) = one.chain.layers.layers
    return one, layer


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_any_convolution_has_torchs_value_gradient_and_tangents(shape):
    module, side = shape
    for rows in ROWS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convolution, "MATRIX_ROWS", rows)
            one, _ = only(module, side)
            require_four_passes(one)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_fold_is_the_transpose_of_columns(shape):
    one, layer = only(*shape)
    x = laid(one.x)
    columns = layer._columns(x)
    any_columns = torch.randn(columns.shape, dtype=torch.float64)
    folded = layer._fold(any_columns, x)
    assert folded.shape == x.shape
    torch.testing.assert_close((columns * any_columns).sum(), (x * folded).sum())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_taps_left_out_have_exactly_no_gradient(shape):
    module, side = shape
    one, _ = only(module, side)
    weight = one.theta["0.weight"].requires_grad_()
    bias = [one.theta["0.bias"]] if module.bias is not None else []
    (gradient,) = torch.autograd.grad(one.value(one.x, weight, *bias), weight, one.delta)
    window = one.chain.taps["0.weight"]
    dead = torch.ones_like(gradient, dtype=torch.bool)
    dead[:, :, window.rows, window.columns] = False
    assert bool((gradient[dead] == 0).all())


def test_only_the_middle_tap_of_a_padded_kernel_meets_a_map_of_one_pixel():
    chain = chain_of(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), 1)
    (layer,) = chain.layers.layers
    assert layer.kernel == (1, 1)
    assert layer.pad == (0, 0, 0, 0)
    assert not layer.whole


def test_padding_that_no_stride_reaches_is_not_made():
    (layer,) = chain_of(nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1)), 8).layers.layers
    assert layer.pad == (1, 0, 1, 0)
    assert layer.whole


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_scale_nought_moves_no_weight(monkeypatch, rows):
    monkeypatch.setattr(convolution, "MATRIX_ROWS", rows)
    require_left_alone(only(nn.Conv2d(2, 3, 3, 1, 1), 5)[0])


def test_input_that_does_not_move_is_one_that_moves_by_nothing():
    one, _ = only(nn.Conv2d(2, 3, 3, 1, 1), 5)
    still = tangent_of_still_input(one)
    one.dx.zero_()
    direction = one.dx, *one.v.values()
    same(still, jvp(one.value, (one.x, *one.theta.values()), direction)[1])


def test_many_pixels_go_to_the_library_and_few_to_the_matrix_product():
    _, layer = only(nn.Conv2d(1, 2, 3, 1, 1), 8)
    assert layer._by_library(torch.zeros(convolution.MATRIX_ROWS // 64 + 1, 8, 8, 1))
    assert not layer._by_library(torch.zeros(convolution.MATRIX_ROWS // 64, 8, 8, 1))


def test_order_in_memory_does_not_matter():
    one, layer = only(nn.Conv2d(2, 3, 3, 2, 1), 6)
    theta = one.chain.pack(one.theta)
    with torch.no_grad():
        y, _ = layer.forward(one.x.permute(0, 2, 3, 1), theta)
        same(y, one.value(one.x, *one.theta.values()))
