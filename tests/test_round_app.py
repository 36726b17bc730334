"""The app that asks hospitals is known by its digest, so both sides must have the same bytes."""

import io
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

from aggregator.flower.submit import write_app
from gdshare.round_app import ROUND_APP, ROUND_APP_SHA256, fab


# Flower itself still uses the old name of a pattern in pathspec.
@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_flower_packs_the_very_bytes_that_hospitals_expect(tmp_path: Path) -> None:
    assert build_fab_from_disk(write_app(tmp_path / "app")) == fab()


def test_digest_is_the_same_on_every_machine() -> None:
    assert ROUND_APP_SHA256 == "c6169c80254b13b9d37411a6133ab56327b63185ad4693b6bc924d3d21904b3e"


def test_app_is_one_description_and_a_list_that_names_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(fab())) as archive:
        assert archive.namelist() == ["pyproject.toml", ".info/CONTENT"]
        assert archive.read("pyproject.toml").decode() == ROUND_APP
        [line] = archive.read(".info/CONTENT").decode().splitlines()
    assert line.startswith("pyproject.toml,")
