"""A real PACS for tests: Orthanc with its DICOMweb plugin, on this machine.

Debian packages: orthanc and orthanc-dicomweb (`make system`). Each server has its own storage, log
and port, and is stopped at the end.
"""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "node", "Pa55-of-the-node"
TIMEOUT_S = 20.0
FILM = re.compile(r"/dicom-web/studies/[^/ ]+/series/[^/ ]+/instances/[^/ ?]+$")


@dataclass(frozen=True)
class Orthanc:
    """A running server."""

    root: str
    log: Path

    @property
    def url(self) -> str:
        return f"{self.root}/dicom-web"

    def put(self, path: Path) -> None:
        """Store a file without changing its encoding."""
        self._session().post(f"{self.root}/instances", path.read_bytes()).raise_for_status()

    def clear(self) -> None:
        """Delete all patients."""
        for patient in self._session().get(f"{self.root}/patients").json():
            self._session().delete(f"{self.root}/patients/{patient}").raise_for_status()

    def addresses(self) -> list[str]:
        """The addresses of all GET requests so far, from the server's log."""
        return re.findall(r"\(http\) GET (\S+)", self.log.read_text(encoding="utf-8"))

    def retrieved(self) -> int:
        """How many films were requested so far."""
        return sum(FILM.search(address) is not None for address in self.addresses())

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.auth = (USER, PASSWORD)
        return session


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """Run a server with its data in ``folder``; skip the test if Orthanc is not installed."""
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed; make system")
    port = _free_port()
    (folder / "orthanc.json").write_text(json.dumps(_settings(folder, port)), encoding="utf-8")
    log = folder / "orthanc.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [program, "--verbose-http", str(folder / "orthanc.json")],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        server = Orthanc(f"http://127.0.0.1:{port}", log)
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(folder: Path, port: int) -> dict[str, object]:
    return {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": port,
        "HttpThreadsCount": 4,
        "RemoteAccessAllowed": False,  # listens on all interfaces, answers only this machine
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def _wait(server: Orthanc, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{server.root}/system", auth=(USER, PASSWORD), timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise RuntimeError(f"Orthanc does not start: {server.log.read_text(encoding='utf-8')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
