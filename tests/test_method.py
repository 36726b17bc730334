import pytest
from pydantic import ValidationError

from gdshare.method import Method, Settings


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sets": 2, "steps": 3, "images": 6}, "2 sets for 3 steps; choose 1 or 3"),
        ({"sets": 3, "steps": 3, "images": 4}, "4 images cannot be divided into 3 sets"),
    ],
)
def test_sets_that_do_not_fit_the_steps_or_the_images_are_refused(values, reason):
    with pytest.raises(ValidationError, match=reason):
        Method(**values)


def test_window_never_reaches_further_than_the_trajectory():
    windows = {"network": "convnet", "unroll": "window", "epochs": 3, "steps": 3}
    assert Method(**windows, window=5).reach == 5
    assert Method(**windows, window=20).reach == 9


def test_outer_rate_falls_along_half_a_cosine_and_stays_positive():
    settings = Settings(outer_steps=100, outer_rate=0.04, outer_decay="cosine")
    rates = [settings.outer_rate_at(step) for step in range(100)]
    assert rates[0] == 0.04
    assert rates[50] == pytest.approx(0.02)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_outer_rate_without_decay_stays():
    settings = Settings(outer_steps=100, outer_rate=0.04, outer_decay="none")
    assert {settings.outer_rate_at(step) for step in range(100)} == {0.04}


def test_method_has_neither_seed_nor_housekeeping():
    settings = Settings(seed=123456789, score_patches=7)
    assert "123456789" not in settings.method().model_dump_json()
    assert set(Settings.model_fields) - set(Method.model_fields) == {
        "seed",
        "score_every",
        "score_inits",
        "score_patches",
        "feature_patches",
        "checkpoint_every",
        "precision",
    }


def test_sets_that_leave_a_class_out_are_refused():
    with pytest.raises(ValidationError, match="leave a class out of each; take 9 images"):
        Settings(network="convnet", sets=3)
    assert Settings(network="convnet", sets=3, images=9).sets == 3


def test_number_of_an_announced_theta0_is_refused_when_theta0_is_random():
    with pytest.raises(ValidationError, match="no meaning"):
        Settings(network="convnet", theta0_number=5)
    assert Settings(network="convnet", theta0="announced", theta0_number=5).theta0_number == 5


def test_former_word_for_an_announced_theta0_is_refused_with_the_new_one():
    with pytest.raises(ValidationError, match="theta0 fixed is now called announced"):
        Settings(theta0="fixed")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"draws": 3}, "a single θ0 to draw; leave out draws, and raise batch"),
        ({"augment": "mirror"}, "features once; leave out augment"),
    ],
)
def test_setting_without_a_meaning_for_the_head_is_refused(values, reason):
    with pytest.raises(ValidationError, match=reason):
        Settings(network="convnet", train="head", **values)
    assert Settings(network="convnet", **values)


def test_defaults_that_differ_by_network_follow_the_network():
    small = Settings(network="convnet")
    assert (small.outer_rate, small.inner_rate) == (0.05, 0.02)
    large = Settings(network="resnet18")
    assert (large.outer_rate, large.inner_rate) == (0.1, 0.01)
    assert Settings(network="resnet18", inner_rate=0.1).inner_rate == 0.1


def test_scattering_trains_its_head_unless_that_is_denied():
    settings = Settings()
    assert (settings.network, settings.train, settings.theta0) == (
        "scattering",
        "head",
        "announced",
    )
    assert (settings.outer, settings.outer_loss, settings.steps) == ("lbfgs", "square", 1)
    with pytest.raises(ValidationError, match="only its last layer to train"):
        Settings(train="all")


@pytest.mark.parametrize("values", [{"outer": "lbfgs"}, {"outer_loss": "square"}, {"penalty": 0.1}])
def test_what_needs_the_same_patches_at_every_step_is_refused_for_all_weights(values):
    with pytest.raises(ValidationError, match="need train head"):
        Settings(network="convnet", **values)


@pytest.mark.parametrize("unroll", ["window", "greedy"])
def test_lbfgs_without_exact_derivatives_is_refused(unroll):
    with pytest.raises(ValidationError, match="choose unroll full"):
        Settings(unroll=unroll)
    assert Settings(unroll=unroll, outer="adam").unroll == unroll


def test_a_file_of_before_the_head_means_all_weights_by_adam():
    old = Settings.model_validate_json('{"network": "convnet"}')
    assert (old.train, old.outer, old.outer_loss, old.penalty) == (
        "all",
        "adam",
        "cross-entropy",
        0.0,
    )
