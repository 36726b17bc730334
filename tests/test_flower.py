"""The Flower that gdshare knows: what is named in one module is what is used and refused."""

import ast
import re
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from command_kit import gdshare
from packaging.requirements import Requirement

from gdshare import flower
from gdshare.errors import FederationError

ROOT = Path(__file__).parents[1]
PUBLIC = {"flwr.app", "flwr.clientapp", "flwr.serverapp"}
NOT_KNOWN = r"this Flower, 1\.44\.0, is not one that gdshare knows"
REMEDY = "pip install 'flwr>=1.41,<1.43'"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Flower that nobody has tried is installed."""
    monkeypatch.setattr(flower, "version", lambda _: "1.44.0")


def imported(package: str) -> set[tuple[str, str]]:
    """What a package imports from Flower's internals."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not [name for name in node.names if name.name.startswith("flwr")], path
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flwr"):
                found |= {(str(node.module), name.name) for name in node.names}
    return {(module, name) for module, name in found if module not in PUBLIC}


def test_internals_that_are_named_are_those_that_a_node_imports() -> None:
    named = {(module, name) for module, names in flower.INTERNALS.items() for name in names}
    assert named == imported("hospital_node")


def test_aggregator_uses_nothing_but_flowers_public_interface() -> None:
    assert imported("aggregator") == set()


def test_internals_are_there() -> None:
    for module, names in flower.INTERNALS.items():
        assert [name for name in names if not hasattr(import_module(module), name)] == []
    module, name, method = flower.OVERRIDDEN
    assert callable(getattr(getattr(import_module(module), name), method))


def test_known_versions_are_those_that_may_be_installed() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert flower.REQUIREMENT in extras["federation"]
    allowed = Requirement(flower.REQUIREMENT).specifier
    tried = [f"1.{number}" for number in range(30, 60)]
    assert [minor for minor in tried if allowed.contains(f"{minor}.0")] == list(flower.KNOWN)
    assert flower.is_known(version("flwr"))


def test_nginx_lets_through_what_is_named_as_a_nodes_routes() -> None:
    text = (ROOT / "docs" / "deploy" / "superlink-nginx.conf").read_text(encoding="utf-8")
    [alternatives] = re.findall(r'"\^/v1/fleet/\(([a-z|-]+)\)\$"', text)
    assert tuple(alternatives.split("|")) == flower.ROUTES


@pytest.mark.parametrize("release", ["1.40.0", "1.43.0", "1.43.0.dev20270101", "2.0.0", "1.4", ""])
def test_another_version_is_not_known(release: str) -> None:
    assert not flower.is_known(release)


@pytest.mark.usefixtures("newer")
def test_demo_refuses_an_unknown_flower_before_it_draws_a_film(tmp_path: Path) -> None:
    ended = gdshare("demo", "--out", tmp_path / "demo")
    assert ended.status == 2
    assert re.search(NOT_KNOWN, ended.err)
    assert REMEDY in ended.err
    assert not (tmp_path / "demo").exists()


@pytest.mark.usefixtures("newer")
def test_aggregate_refuses_an_unknown_flower_and_leaves_no_round(tmp_path: Path) -> None:
    (tmp_path / "trust").mkdir()
    words = ["--superlink", "127.0.0.1:1", "--insecure", "--trust", tmp_path / "trust"]
    ended = gdshare("aggregate", *words, "--out", tmp_path / "round")
    assert ended.status == 2
    assert re.search(NOT_KNOWN, ended.err)
    assert list((tmp_path / "round").glob("*")) == []


@pytest.mark.usefixtures("newer")
def test_node_refuses_an_unknown_flower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hospital_node.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "node.toml"), "--superlink", "127.0.0.1:1", "--insecure"])
    assert ended.value.code == 2
    assert re.search(NOT_KNOWN, capsys.readouterr().err)


def test_superlink_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(FederationError, match=r"1\.44\.0, is not one that gdshare knows; pip"):
        flower.require_superlink("1.44.0", "1.42.0", "127.0.0.1:8000")


def test_superlink_that_was_not_restarted_after_an_upgrade_is_refused() -> None:
    with pytest.raises(FederationError, match=r"runs Flower 1\.41\.0, and 1\.42\.0 .*; restart"):
        flower.require_superlink("1.41.0", "1.42.0", "127.0.0.1:8000")


def test_superlink_of_another_patch_is_taken() -> None:
    flower.require_superlink("1.42.7", "1.42.0", "127.0.0.1:8000")


def test_this_machine_is_reached_by_no_proxy_and_other_exceptions_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "pacs.example, localhost")
    expected = "pacs.example,localhost,127.0.0.1,::1"
    told = flower.flower_environment()
    assert (told["NO_PROXY"], told["no_proxy"]) == (expected, expected)
