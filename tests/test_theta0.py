"""The weights of an announced θ0: drawn here, or a stranger's, which are opened with care."""

import pytest
import torch
from announcement_kit import distilled_for, of_model, of_number, shared_theta0
from site_kit import METHOD, PROTOCOL

from gdshare.announcement import AnnouncedStart, number_of
from gdshare.errors import AnnouncementError
from gdshare.method import Method
from gdshare.model import Model
from gdshare.networks import build, digest
from gdshare.signing import new_key
from gdshare.theta0 import announced_theta0, require_here, shared_weights

KEY = new_key()
SIDE = PROTOCOL.side


def method_of(start: AnnouncedStart) -> Method:
    method = distilled_for(start)["method"]
    assert isinstance(method, Method)
    return method


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return digest(first) == digest(second)


def test_shared_model_is_opened_and_no_weights_are_none() -> None:
    start = of_model(KEY)
    theta0 = shared_weights(start.weights, method_of(start), SIDE)
    assert theta0 is not None
    assert same(theta0, shared_theta0())
    assert shared_weights(None, METHOD, SIDE) is None
    assert announced_theta0(method_of(start), build("convnet", SIDE), theta0) is theta0


def test_weights_of_another_model_side_or_network_are_refused() -> None:
    start, other = of_model(KEY), of_model(KEY, seed=6)
    with pytest.raises(AnnouncementError, match="not the weights that were announced"):
        shared_weights(other.weights, method_of(start), SIDE)
    with pytest.raises(AnnouncementError, match="not the weights of a convnet of 16 px"):
        shared_weights(start.weights, method_of(start), 16)
    resnet = method_of(start).model_copy(update={"network": "resnet18"})
    with pytest.raises(AnnouncementError, match="not the weights of a resnet18"):
        shared_weights(start.weights, resnet, SIDE)


def test_two_networks_are_no_theta0() -> None:
    theta0 = shared_theta0()
    data = Model("convnet", PROTOCOL, (theta0, shared_theta0(6))).to_bytes()
    method = METHOD.model_copy(
        update={"theta0": "announced", "theta0_number": number_of(digest(theta0))}
    )
    with pytest.raises(AnnouncementError, match="not the weights that were announced"):
        shared_weights(data, method, SIDE)


def test_weights_that_are_not_finite_are_refused() -> None:
    theta0 = {name: weight.clone() for name, weight in shared_theta0().items()}
    next(iter(theta0.values())).view(-1)[0] = torch.nan
    data = Model("convnet", PROTOCOL, (theta0,)).to_bytes()
    with pytest.raises(AnnouncementError, match="is not finite"):
        shared_weights(data, METHOD, SIDE)


def test_announced_start_is_the_same_on_this_machine() -> None:
    assert same(require_here(of_model(KEY)), shared_theta0())
    drawn = of_number(KEY)
    assert digest(require_here(drawn)) == drawn.theta0_sha256


def test_another_scheme_or_draw_is_refused() -> None:
    with pytest.raises(AnnouncementError, match="drawn by the scheme zero-head/2, and here by"):
        require_here(of_number(KEY, initialiser="zero-head/2"))
    start = of_number(KEY)
    other = AnnouncedStart(start.announcement, "0" * 64, start.signed, None)
    with pytest.raises(AnnouncementError, match="draws another θ0 from the number 7"):
        require_here(other)
