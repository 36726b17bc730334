"""What people install: wheel and source archive, and the commands away from the repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gdshare", "hospital_node", "aggregator")
BESIDE = ("benchmarks", "docs", "examples", "studies", "tests")
"""Folders of the repository that nobody installs."""
DATA = {
    "gdshare/approval_page/static/index.html",
    "gdshare/films/burned_in/weights/PP-OCRv6_det_small.onnx",
    "gdshare/label_page/static/vendor/leaflet-1.9.4/leaflet.js",
    "gdshare/label_page/static/vendor/leaflet-1.9.4/images/layers.png",
    "gdshare/report/templates/page.html.jinja",
    *(f"{package}/py.typed" for package in PACKAGES),
}
"""Files that are no modules, and without which a command or a type checker fails."""
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
MODULES_AWAY = """
import importlib, sys
for name in ("gdshare.report.page", "gdshare.films.burned_in", "aggregator", "hospital_node"):
    print(importlib.import_module(name).__file__)
"""


@dataclass(frozen=True)
class Built:
    """The two archives of a build."""

    source: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    """The wheel is built from the source archive, as `python -m build` does it."""
    folder = tmp_path_factory.mktemp("build")
    checkout = folder / "checkout"
    for name in (*PACKAGES, *BESIDE):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=unwanted)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout / name)
    source = _build("build_sdist", checkout, folder)
    with tarfile.open(source) as archive:
        if hasattr(tarfile, "data_filter"):  # from Python 3.11.4
            archive.extraction_filter = staticmethod(tarfile.data_filter)
        archive.extractall(folder)
    unpacked = folder / source.name.removesuffix(".tar.gz")
    return Built(source, _build("build_wheel", unpacked, folder))


def _build(hook: str, here: Path, out: Path) -> Path:
    """Run setuptools in a process of its own, as pip does."""
    words = [sys.executable, "-W", "error", "-c", BUILD, hook, out]
    run = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return out / run.stdout.splitlines()[-1]


def in_repository() -> set[str]:
    """Every file of the three packages."""
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(built):
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == in_repository()
    assert names >= DATA


def test_source_archive_holds_the_packages_and_none_of_what_nobody_installs(built):
    with tarfile.open(built.source) as archive:
        files = [member.name.split("/", 1)[1] for member in archive if member.isfile()]
    assert set(files) >= in_repository()
    assert {name.split("/")[0] for name in files if "/" in name} == {*PACKAGES, "gdshare.egg-info"}


def test_wheel_carries_the_licences_of_everything_in_it(built):
    with zipfile.ZipFile(built.wheel) as archive:
        names = {Path(name) for name in archive.namelist()}
    licences = {name for name in names if "licenses" in name.parts}
    vendored = {name for name in names - licences if "LICENSE" in name.name}
    assert len(vendored) >= 4
    inside = {Path(*name.parts[name.parts.index("licenses") + 1 :]) for name in licences}
    assert inside >= {*vendored, Path("LICENSE")}


@dataclass(frozen=True)
class Installed:
    """The wheel, installed into a folder, in a process that knows nothing of the repository."""

    folder: Path

    def run(self, *words: str | Path) -> str:
        """Standard output of the interpreter, started elsewhere."""
        away = self.folder / "away"
        away.mkdir(exist_ok=True)
        run = subprocess.run(
            [sys.executable, "-P", *words],
            cwd=away,
            env={**os.environ, "PYTHONPATH": str(self.folder / "lib")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    alone = ["--no-deps", "--no-index", "--target", folder / "lib"]
    subprocess.run([*pip, *alone, built.wheel], check=True)
    return Installed(folder)


@pytest.mark.slow
def test_installed_modules_are_imported_from_where_they_were_installed(installed):
    files = [Path(line) for line in installed.run("-c", MODULES_AWAY).splitlines()]
    assert len(files) == 4
    assert all(file.is_relative_to(installed.folder / "lib") for file in files), files


@pytest.mark.slow
def test_installed_command_tells_its_version_and_every_command(installed):
    command = installed.folder / "lib" / "bin" / "gdshare"
    assert installed.run(command, "--version").startswith("gdshare ")
    listed = installed.run(command, "--help")
    assert all(f" {name} " in listed for name in ("distill", "verify", "aggregate", "node"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_installed_demo_runs_away_from_the_repository(installed):
    command = installed.folder / "lib" / "bin" / "gdshare"
    shown = installed.run(command, "demo", "--out", "demo-out")
    assert "SYNTHETIC" in shown
    assert (installed.folder / "away" / "demo-out" / "report.html").stat().st_size > 10_000
