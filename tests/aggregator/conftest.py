"""Three hospitals of ``round_kit``, new for each test; their films are drawn once a module."""

from pathlib import Path

import pytest
from round_kit import World, make_world
from site_kit import make_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every hospital's cohort: too few films to conclude anything."""
    return make_cohort(tmp_path_factory.mktemp("films"))


@pytest.fixture
def world(tmp_path: Path, cohort: Path) -> World:
    return make_world(tmp_path, cohort)
