"""No process that gdshare starts gets a secret from the environment."""

import ast
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from gdshare.child_environment import child_environment, is_secret, without_secrets
from gdshare.films.dicom.decoder import _Worker

ROOT = Path(__file__).parent.parent
PACKAGES = ("gdshare", "aggregator", "hospital_node")
STARTERS = {f"subprocess.{name}" for name in ("Popen", "run", "call", "check_call", "check_output")}
INHERITING = {"os.system", "os.popen", "os.execv", "os.execl", "os.fork", "os.spawnv"}


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("GDSHARE_PASSPHRASE", True),
        ("GDSHARE_NEW_PASSPHRASE", True),
        ("PACS_PASSWORD", True),
        ("GITHUB_TOKEN", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("gdshare_passphrase", True),
        ("GDSHARE_LOG_FILE", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("PATH", False),
        ("OMP_NUM_THREADS", False),
    ],
)
def test_secrets_are_known_by_their_names(name, secret):
    assert is_secret(name) == secret


def test_child_gets_what_it_needs_and_no_secret(monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "correct horse")
    environment = child_environment(RANK="1")
    assert "correct horse" not in environment.values()
    assert (environment["PATH"], environment["RANK"]) == (os.environ["PATH"], "1")


def test_codecs_process_has_no_secret(monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "correct horse")
    worker = _Worker(10.0)
    try:
        process = worker._start()
        path, end = Path(f"/proc/{process.pid}/environ"), time.monotonic() + 30
        while not (environment := path.read_bytes()) and time.monotonic() < end:
            time.sleep(0.01)  # between fork and exec it is empty
    finally:
        worker.end()
    assert b"PATH=" in environment
    assert b"correct horse" not in environment


def _passphrase() -> str | None:
    return os.environ.get("GDSHARE_PASSPHRASE")


def test_spawned_process_has_no_secret_and_this_one_keeps_it(monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "correct horse")
    with without_secrets(), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(_passphrase).result() is None
    assert os.environ["GDSHARE_PASSPHRASE"] == "correct horse"


def _starts_without_environment(path: Path) -> list[str]:
    """Starts of processes that would inherit everything."""
    text = path.read_text(encoding="utf-8")
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found += [
                ast.unparse(v) for k, v in pairs if k is None and ast.unparse(v) == "os.environ"
            ]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {keyword.arg for keyword in node.keywords}
        if name in STARTERS and "env" not in given:
            found.append(name)
        if name in INHERITING or (
            name == "ProcessPoolExecutor" and "without_secrets()" not in text
        ):
            found.append(name)
    return found


def test_every_start_of_a_process_is_given_an_environment_without_secrets():
    sources = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    assert len(sources) > 200
    found = {path: _starts_without_environment(path) for path in sources}
    assert {str(path): names for path, names in found.items() if names} == {}
