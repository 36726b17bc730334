"""``python -m hospital_node``: every fault at the start is one sentence and an exit status."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fleet_kit import Fleet, Plain, fleet_server
from process_kit import environment

from gdshare.errors import UsageError
from hospital_node.__main__ import main, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (tmp_path / "outbox").mkdir()
    path = tmp_path / "node.toml"
    path.write_text(f'outbox = "{tmp_path}/outbox"\nstate = "{tmp_path}/state"\n', encoding="utf-8")
    return path


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with fleet_server(Fleet()) as running:
        yield running


@pytest.fixture
def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run the command here; returns its one sentence."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def run(status: int, *words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        [*_, sentence] = capsys.readouterr().err.strip().splitlines()
        assert ended.value.code == status, sentence
        return sentence

    return run


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    return path


def listen_to_ctrl_c() -> None:
    """In the child: a suite that was started in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(settings: Path, address: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "hospital_node", str(settings), "--superlink", address]
    return subprocess.Popen(
        [*command, "--insecure", *options],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - no lock is held by the fleet's threads
    )


def until_connected(fleet: Fleet, count: int = 1) -> None:
    end = time.monotonic() + 60
    while fleet.calls.count("pull-messages") < count and time.monotonic() < end:
        time.sleep(0.05)


def test_missing_settings_file_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    message = refused(2, tmp_path / "node.toml", "--superlink", "127.0.0.1:1", "--insecure")
    assert (
        message
        == f"gdshare: {tmp_path}/node.toml: cannot be read (No such file or directory); "
        + ("check the path")
    )


@pytest.mark.parametrize("content", ["outbox = ", "outbox = 3\n", "\xff", 'outbox = "relative"\n'])
def test_unreadable_settings_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=r"node\.toml"):
        read_settings(path)


@pytest.mark.parametrize("address", ["https://h:1", "h", "h:0", "h:99999", "h:1/path", ""])
def test_address_that_is_none_is_reported(
    settings: Path, refused: Callable[..., str], address: str
) -> None:
    assert "write HOST:PORT" in refused(2, settings, "--superlink", address, "--insecure")


@pytest.mark.parametrize("host", ["aggregator.example", "10.0.0.1", "127.evil.example", "[::2]"])
def test_no_tls_to_another_machine(settings: Path, refused: Callable[..., str], host: str) -> None:
    message = refused(2, settings, "--superlink", f"{host}:8000", "--insecure")
    assert "--insecure is for this machine alone" in message


def test_settings_that_are_no_plain_file_are_not_waited_for(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    os.mkfifo(tmp_path / "node.toml")
    message = refused(2, tmp_path / "node.toml", "--superlink", "127.0.0.1:1", "--insecure")
    assert "not a plain file" in message


def test_flower_of_another_build_is_reported(
    settings: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hospital_node.superlink", None)  # type: ignore[arg-type]
    message = refused(2, settings, "--superlink", "127.0.0.1:1", "--insecure")
    assert re.search(r"this Flower, [0-9.]+, is not one that gdshare knows \(", message)


def test_option_that_is_unknown_is_reported(settings: Path, refused: Callable[..., str]) -> None:
    message = refused(2, settings, "--superlink", "h:1", "--isolation", "process")
    assert "unrecognized arguments" in message


@pytest.mark.parametrize(
    "options",
    [
        ("--root-certificates", "missing"),
        ("--auth-supernode-private-key", "missing"),
        ("--client-certificate", "other", "--client-key", "missing"),
    ],
)
def test_missing_file_of_tls_is_named(
    settings: Path, refused: Callable[..., str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    words = [tmp_path / word if word[0] != "-" else word for word in options]
    message = refused(2, settings, "--superlink", "h:1", *words)
    assert f"{tmp_path}/missing: cannot be read (No such file or directory)" in message


def test_file_that_holds_no_certificate_is_named(
    settings: Path, refused: Callable[..., str]
) -> None:
    message = refused(2, settings, "--superlink", "h:1", "--root-certificates", settings)
    assert "not a PEM file of certificates" in message


def test_key_that_others_may_read_is_refused(
    settings: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    key = write_key(tmp_path / "key", ec.generate_private_key(ec.SECP384R1()))
    key.chmod(0o640)
    message = refused(2, settings, "--superlink", "h:1", "--auth-supernode-private-key", key)
    assert "can be read by other users" in message


def test_client_key_that_others_may_read_is_refused(
    settings: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "tls.key").write_text("")
    (tmp_path / "tls.key").chmod(0o644)
    words = ("--client-certificate", settings, "--client-key", tmp_path / "tls.key")
    assert "can be read by other users" in refused(2, settings, "--superlink", "h:1", *words)


def test_client_certificate_without_its_key_is_reported(
    settings: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    words = ("--superlink", "h:1", "--client-certificate", settings)
    assert "go together" in refused(2, settings, *words)
    (tmp_path / "tls.key").touch(0o600)
    message = refused(2, settings, *words, "--client-key", tmp_path / "tls.key")
    assert "no certificate with its key" in message


def test_key_of_another_kind_is_refused(
    settings: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    key = write_key(tmp_path / "key", ed25519.Ed25519PrivateKey.generate())
    message = refused(2, settings, "--superlink", "h:1", "--auth-supernode-private-key", key)
    assert "not an elliptic-curve key" in message


def test_key_without_tls_is_refused(
    settings: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    key = write_key(tmp_path / "key", ec.generate_private_key(ec.SECP384R1()))
    words = ("--insecure", "--auth-supernode-private-key", key)
    assert "leave --insecure out" in refused(2, settings, "--superlink", "h:1", *words)


def test_state_folder_that_cannot_be_made_is_named(
    settings: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "state").touch()
    message = refused(2, settings, "--superlink", "127.0.0.1:1", "--insecure")
    assert message == f"gdshare: {tmp_path}/state: File exists"


def test_superlink_that_does_not_run_is_reported(
    settings: Path, refused: Callable[..., str]
) -> None:
    with fleet_server(Fleet()) as gone:
        pass
    words = ("--superlink", gone.address, "--insecure", "--max-wait-time", "0")
    assert "no SuperLink answers" in refused(4, settings, *words)


def test_superlink_that_refuses_the_node_is_reported(
    settings: Path, refused: Callable[..., str], fleet: Fleet
) -> None:
    fleet.scripted["activate-node"] = lambda _: Plain(401)
    words = ("--superlink", fleet.address, "--insecure", "--max-wait-time", "0")
    message = refused(4, settings, *words)
    assert "the SuperLink refused this node" in message
    assert "check both clocks" in message


def test_superlink_that_forgot_the_node_is_entered_again_or_reported(
    settings: Path, refused: Callable[..., str], fleet: Fleet
) -> None:
    found = [Plain(401), b"", b"", Plain(401), Plain(401)]
    fleet.scripted["pull-messages"] = lambda _: found.pop(0)
    words = ("--superlink", fleet.address, "--insecure", "--max-wait-time", "0")
    message = refused(4, settings, *words)
    assert "the SuperLink refused this node" in message
    assert found == []
    assert fleet.calls.count("activate-node") == 3, "it came back after the first refusal"


def test_two_nodes_run_side_by_side_and_open_no_port(
    settings: Path, fleet: Fleet, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(settings.read_text().replace("/state", "/other-state"), encoding="utf-8")
    nodes = [start(settings, fleet.address), start(other, fleet.address)]
    try:
        until_connected(fleet, 6)
        assert [node.poll() for node in nodes] == [None, None]
        assert [_listening(node.pid) for node in nodes] == [set(), set()]
        assert fleet.calls.count("activate-node") == 2
    finally:
        for node in nodes:
            node.send_signal(signal.SIGTERM)
    assert [node.communicate(timeout=30)[1].splitlines()[-1][21:] for node in nodes] == [
        "ended"
    ] * 2
    assert [node.returncode for node in nodes] == [0, 0]
    assert fleet.calls.count("deactivate-node") == 2


def test_second_node_on_one_state_folder_is_refused(settings: Path, fleet: Fleet) -> None:
    first = start(settings, fleet.address)
    try:
        until_connected(fleet)
        second = start(settings, fleet.address)
        _, message = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "locked by process" in message.splitlines()[-1]
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)


def _listening(pid: int) -> set[str]:
    """Sockets on which a process waits for others, of any family."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = str(link.readlink())
        if target.startswith("socket:["):
            own.add(target[8:-1])
    waiting = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            if line.split()[3] == "0A":
                waiting.add(line.split()[9])
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        if int(line.split()[3], 16) & 0x10000:
            waiting.add(line.split()[6])
    return own & waiting
