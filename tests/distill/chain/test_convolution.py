"""Convolutions of every shape: values, gradients, tangents; live taps; both implementations."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_kit import (
    channels_last,
    probe,
    require_four_passes,
    require_left_alone,
    require_same,
    tangent_of_still_input,
)
from torch import nn
from torch.autograd.functional import jvp

from gdshare.distill.chain import convolution
from gdshare.distill.chain.network import chain_of


@st.composite
def convolutions(draw):
    """A torch convolution and the side of its input."""
    taps = st.integers(1, 5)
    kernel = draw(taps), draw(taps)
    pad, side = draw(st.integers(0, min(kernel) - 1)), draw(st.integers(1, 9))
    assume(side + 2 * pad >= max(kernel))
    channels, stride, bias = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.booleans())
    torch.manual_seed(0)
    return nn.Conv2d(channels, 2, kernel, stride, pad, bias=bias), side


ROWS = {"by matrix": 10**9, "by library": 0}


def single_layer(module, side):
    """A probe of a lone convolution, and the layer that it becomes."""
    case = probe(module, module.in_channels, side)
    (layer,) = case.chain.layers.layers
    return case, layer


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_any_convolution_has_torchs_value_gradient_and_tangents(convolution_case):
    module, side = convolution_case
    for rows in ROWS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convolution, "MATRIX_ROWS", rows)
            case, _ = single_layer(module, side)
            require_four_passes(case)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_fold_is_the_transpose_of_columns(convolution_case):
    case, layer = single_layer(*convolution_case)
    x = channels_last(case.x)
    columns = layer._columns(x)
    any_columns = torch.randn(columns.shape, dtype=torch.float64)
    folded = layer._fold(any_columns, x)
    assert folded.shape == x.shape
    torch.testing.assert_close((columns * any_columns).sum(), (x * folded).sum())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(convolutions())
def test_dead_taps_have_exactly_no_gradient(convolution_case):
    module, side = convolution_case
    case, _ = single_layer(module, side)
    weight = case.theta["0.weight"].requires_grad_()
    bias = [case.theta["0.bias"]] if module.bias is not None else []
    (gradient,) = torch.autograd.grad(case.value(case.x, weight, *bias), weight, case.delta)
    window = case.chain.taps["0.weight"]
    dead = torch.ones_like(gradient, dtype=torch.bool)
    dead[:, :, window.rows, window.columns] = False
    assert bool((gradient[dead] == 0).all())


def test_on_a_map_of_one_pixel_only_the_middle_tap_of_a_padded_kernel_is_live():
    chain = chain_of(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), 1)
    (layer,) = chain.layers.layers
    assert layer.kernel == (1, 1)
    assert layer.pad == (0, 0, 0, 0)
    assert not layer.whole


def test_padding_that_no_window_reaches_is_left_out():
    (layer,) = chain_of(nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1)), 8).layers.layers
    assert layer.pad == (1, 0, 1, 0)
    assert layer.whole


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_scale_0_moves_no_weight(monkeypatch, rows):
    monkeypatch.setattr(convolution, "MATRIX_ROWS", rows)
    require_left_alone(single_layer(nn.Conv2d(2, 3, 3, 1, 1), 5)[0])


def test_missing_input_tangent_is_a_tangent_of_zero():
    case, _ = single_layer(nn.Conv2d(2, 3, 3, 1, 1), 5)
    still = tangent_of_still_input(case)
    case.x_dot.zero_()
    direction = case.x_dot, *case.v.values()
    require_same(still, jvp(case.value, (case.x, *case.theta.values()), direction)[1])


def test_many_pixels_go_to_the_library_and_few_to_the_matrix_product():
    _, layer = single_layer(nn.Conv2d(1, 2, 3, 1, 1), 8)
    assert layer._by_library(torch.zeros(convolution.MATRIX_ROWS // 64 + 1, 8, 8, 1))
    assert not layer._by_library(torch.zeros(convolution.MATRIX_ROWS // 64, 8, 8, 1))


def test_memory_layout_of_the_input_does_not_matter():
    case, layer = single_layer(nn.Conv2d(2, 3, 3, 2, 1), 6)
    theta = case.chain.pack(case.theta)
    with torch.no_grad():
        y, _ = layer.forward(case.x.permute(0, 2, 3, 1), theta)
        require_same(y, case.value(case.x, *case.theta.values()))
