"""Only a FAB without code passes: attacks on the guard, one each."""

import io
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk
from hypothesis import given
from hypothesis import strategies as st

from aggregator.flower.submit import APP, write_app
from gdshare.errors import FederationError, UsageError
from hospital_node import guard
from hospital_node.__main__ import read_settings, write_runners
from hospital_node.guard import guarded, require_no_code


def fab(pyproject: str = APP, **further: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("pyproject.toml", pyproject)
        archive.writestr(".info/CONTENT", "")
        for name, content in further.items():
            archive.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


# Flower itself still uses the old name of a pattern in pathspec.
@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_the_app_the_aggregator_submits_passes(tmp_path: Path) -> None:
    require_no_code(build_fab_from_disk(write_app(tmp_path / "app")))
    require_no_code(fab())


@pytest.mark.parametrize(
    "name",
    [
        "hospital_node__client_app.py",
        "torch.py",
        "sitecustomize.py",
        "gdshare__vote.pyc",
        "native.so",
        "..__..__escaped.py",
        "notes.md",
    ],
)
def test_a_fab_with_any_file_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(FederationError, match="files of its own"):
        require_no_code(fab(**{name: b"raise SystemExit"}))


def test_a_second_description_hidden_behind_the_first_is_refused() -> None:
    stream = io.BytesIO(fab())
    with zipfile.ZipFile(stream, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("pyproject.toml", APP.replace("hospital_node", "evil"))
    with pytest.raises(FederationError, match="files of its own"):
        require_no_code(stream.getvalue())


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("hospital_node.client_app:app", "os:system"),
        ("hospital_node.client_app:app", "hospital_node.guard:main"),
        ('publisher = "gdshare"', 'publisher = "evil"'),
        ('name = "gdshare-round"', 'name = "other"'),
        ('clientapp = "', 'agentapp = "evil:app"\nclientapp = "'),
    ],
)
def test_a_fab_that_names_other_code_is_refused(mine: str, theirs: str) -> None:
    assert mine in APP
    with pytest.raises(FederationError, match="other code"):
        require_no_code(fab(APP.replace(mine, theirs)))


@pytest.mark.parametrize("version", ["1.0/../../evil", "1.0\\n", "", "latest", "1" * 99])
def test_a_version_that_is_a_path_is_refused(version: str) -> None:
    with pytest.raises(FederationError, match="not a version"):
        require_no_code(fab(APP.replace('version = "1.0"', f'version = "{version}"')))


def test_a_description_that_unpacks_to_gigabytes_is_refused() -> None:
    with pytest.raises(FederationError, match="too large"):
        require_no_code(fab(APP + "#" * (1 << 20)))


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(FederationError):
        require_no_code(noise)


@given(st.integers(0, len(fab()) - 1), st.integers(1, 255))
def test_a_damaged_fab_is_refused_or_still_holds_no_code(at: int, flip: int) -> None:
    data = bytearray(fab())
    data[at] ^= flip
    try:
        require_no_code(bytes(data))
    except FederationError:
        return


def test_flower_is_not_reached_by_a_refused_fab() -> None:
    fabs: list[bytes] = []
    install = guarded(lambda content, **_: fabs.append(content) or Path())
    with pytest.raises(FederationError):
        install(fab(**{"evil.py": b""}), skip_prompt=True)
    assert not fabs
    install(fab(), skip_prompt=True)
    assert len(fabs) == 1


def test_the_name_of_flowers_that_the_guard_relies_on_is_there() -> None:
    from flwr.supernode.runtime import run_clientapp

    assert callable(vars(run_clientapp)[guard.INSTALLER])


def test_a_flower_without_that_name_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.supernode.runtime import run_clientapp

    monkeypatch.delattr(run_clientapp, guard.INSTALLER)
    with pytest.raises(SystemExit, match="does not know"):
        guard.main()


def test_a_node_finds_no_runner_but_the_guarded_one(tmp_path: Path) -> None:
    folder = write_runners(tmp_path)
    runners = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert "-m hospital_node.guard" in runners.pop("flwr-clientapp")
    assert "flower-superexec" in runners.pop("flower-superexec")
    from flwr.supercore.constant import TASK_TYPE_TO_COMMAND

    assert set(runners) >= set(TASK_TYPE_TO_COMMAND.values()) - {"flwr-clientapp"}
    assert all(text.endswith("exit 1\n") for text in runners.values())


@pytest.mark.parametrize("content", ["outbox = ", "outbox = 3\n", "\xff"])
def test_an_unreadable_settings_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError):
        read_settings(path)
