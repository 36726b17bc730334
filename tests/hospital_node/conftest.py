"""A hospital's films, drawn once a module."""

from pathlib import Path

import pytest
from site_kit import make_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Too few films to conclude anything."""
    return make_cohort(tmp_path_factory.mktemp("films"))
