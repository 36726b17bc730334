import torch
from run_kit import SETTINGS

from gdshare.distill.state import initial_state, initial_unknowns, load_checkpoint
from gdshare.method import Settings


def test_initial_state_is_noise_scaled_one_hot_and_the_given_rate():
    unknowns = initial_state(Settings(network="convnet", images=6, inner_rate=0.03), 16).unknowns
    assert unknowns.images.shape == (6, 1, 16, 16)
    assert abs(unknowns.images.std().item() - 1) < 0.1
    assert unknowns.logits.argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    rates = torch.nn.functional.softplus(unknowns.rates)
    torch.testing.assert_close(rates, torch.full((3,), 0.03))


def test_without_a_checkpoint_the_state_is_the_initial_one(tmp_path):
    state = load_checkpoint(tmp_path, SETTINGS, 8)
    assert state.progress.step == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            state.unknowns.tensors(), initial_unknowns(SETTINGS, 8).tensors(), strict=True
        )
    )
