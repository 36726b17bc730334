"""Pending updates count in every product, and are written before there are too many."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gdshare.distill.chain.weights import Matrix, Weights

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=8),
)
def test_products_are_those_of_the_dense_matrix_whatever_is_pending(out, into, updates):
    plain = normal(out, into)
    matrix = Matrix(plain.clone())
    for number, (rows, check) in enumerate(updates):
        left, right = normal(rows, out, seed=number), normal(rows, into, seed=100 + number)
        matrix.add(left, right, -0.3)
        plain = plain - 0.3 * left.t() @ right
        if check:
            torch.testing.assert_close(matrix.dense(), plain, **EXACT)
        x, delta = normal(3, into, seed=7), normal(3, out, seed=8)
        torch.testing.assert_close(matrix.apply(x), x @ plain.t(), **EXACT)
        torch.testing.assert_close(matrix.apply_transposed(delta), delta @ plain, **EXACT)
    torch.testing.assert_close(matrix.dense(), plain, **EXACT)


@given(st.integers(1, 40), st.lists(st.integers(1, 12), max_size=6))
def test_rounded_factors_give_products_to_their_precision(size, updates):
    plain = normal(size, size).float()
    matrix = Matrix(plain.clone(), torch.bfloat16)
    for number, rows in enumerate(updates):
        left, right = (normal(rows, size, seed=s + number).float() for s in (0, 100))
        matrix.add(left, right, -0.1)
        plain = plain - 0.1 * left.t() @ right
    x, norm = normal(3, size, seed=7).float(), torch.linalg.matrix_norm
    assert matrix.apply(x).dtype == torch.float32
    assert norm(matrix.apply(x) - x @ plain.t()) <= 0.02 * norm(plain) * norm(x)
    assert norm(matrix.apply_transposed(x).float() - x @ plain) <= 0.02 * norm(plain) * norm(x)
    assert norm(matrix.dense() - plain) <= 0.02 * norm(plain)


def test_small_updates_are_not_lost_to_rounded_factors():
    """In bfloat16 itself, 1 + 0.001 is 1."""
    matrix = Matrix(torch.ones(8, 8), torch.bfloat16)
    for _ in range(100):
        matrix.add(torch.ones(1, 8), torch.ones(1, 8), 0.001)
        matrix.add_dense(torch.ones(8, 8), 0.001)
    torch.testing.assert_close(matrix.dense(), torch.full((8, 8), 1.2), rtol=0.01, atol=0)
    product = matrix.apply(torch.eye(8))
    torch.testing.assert_close(product, torch.full((8, 8), 1.2), rtol=0.01, atol=0)


def test_small_updates_stay_pending_and_large_ones_do_not():
    dense = normal(64, 64)
    before = dense.clone()
    matrix = Matrix(dense)
    assert matrix.max_pending == 8
    matrix.add(normal(3, 64), normal(3, 64), 1.0)
    assert torch.equal(dense, before)
    matrix.add(normal(9, 64), normal(9, 64), 1.0)
    assert not torch.equal(dense, before)


def test_pending_updates_are_written_together_before_there_are_too_many():
    dense = normal(64, 64)
    before = dense.clone()
    matrix = Matrix(dense)
    for number in range(2):
        matrix.add(normal(4, 64, seed=number), normal(4, 64, seed=number), 1.0)
    assert torch.equal(dense, before)
    matrix.add(normal(1, 64), normal(1, 64), 1.0)
    assert not torch.equal(dense, before)


@pytest.mark.parametrize("make", [Weights.copy, Weights.zeros])
def test_copies_and_zeros_share_no_memory_and_copies_have_pending_updates(make):
    weights = Weights({"m": Matrix(normal(64, 64))}, {"t": normal(3)})
    weights.matrices["m"].add(normal(2, 64), normal(2, 64), 1.0)
    copy = make(weights)
    before = {name: tensor.clone() for name, tensor in weights.named().items()}
    if make is Weights.copy:
        assert all(torch.equal(copy.named()[name], before[name]) for name in before)
    else:
        assert all(bool((tensor == 0).all()) for tensor in copy.named().values())
    copy.matrices["m"].add(normal(9, 64), normal(9, 64), 1.0)
    copy.tensors["t"].add_(1.0)
    assert all(torch.equal(weights.named()[name], before[name]) for name in before)
    assert weights.nbytes == 8 * (64 * 64 + 3)
