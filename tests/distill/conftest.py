import pytest
from film_kit import small_cohort
from run_kit import SETTINGS, TINY

from gdshare.distill.loop import distill


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("cohort"), protocol=TINY)


@pytest.fixture(scope="session")
def whole(cohort, tmp_path_factory):
    """A finished run that was not interrupted; not to be modified."""
    out = tmp_path_factory.mktemp("whole") / "run"
    distill(cohort, out, SETTINGS)
    return out
