"""Another user of the machine opens connections and leaves them half open: the page goes on."""

import http.client
import json
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
from page_kit import serve_in_thread
from store_kit import small_store, square, stored

from gdshare.local_page.connections import ConnectionLimits
from gdshare.protocol import Protocol
from gdshare.store.outline import load_outline

FILM = stored(0).film
PROTOCOL = Protocol(patch=16, stride=8, side=16)
BODY = {"drawing": {"polygons": [[square(4, 4, 60, 40)]], "diagnosis": "positive"}, "based_on": 0}
HALF_OPEN = 2000
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: "
HALF_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{"
PROMPT_S = 3.0
"""What a technologist puts up with, and a busy machine of two cores keeps."""


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path / "store", stored(0))


class Technologist:
    """The browser that was given the address; each request takes its own connection."""

    def __init__(self, address):
        self.host = urlsplit(address).netloc
        response, _ = self._send("GET", f"/?{urlsplit(address).query}", {})
        self.cookie = response.getheader("set-cookie").partition(";")[0]

    def request(self, method, path, body=None):
        headers = {"Cookie": self.cookie, "Origin": f"http://{self.host}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        begun = time.monotonic()
        response, content = self._send(method, path, headers, body and json.dumps(body))
        assert time.monotonic() - begun < PROMPT_S
        assert response.status == 200
        return content

    def _send(self, method, path, headers, body=None):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content


def connect(address, sent=b""):
    host, port = urlsplit(address).netloc.split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(sent)
    return connection


def closed_after(connection, seconds):
    """Whether the server closes the connection within so many seconds; drips if it may."""
    connection.settimeout(0.05)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if connection.recv(4096) == b"":
                return True
        except TimeoutError:
            pass
        except OSError:
            return True
        try:
            connection.sendall(b"x")
        except OSError:
            return True
    return False


@contextmanager
def served_by_the_command(store):
    """The real command, which may open 1024 files, as is usual; yields the address."""
    few_files = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (1024, 1024))"
    start = f"{few_files}; from gdshare.cli.main import main; main()"
    command = [sys.executable, "-c", start, "label", "--serve", store.path, "--patch", "16"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=30)
            assert err == ""


def test_page_goes_on_while_another_user_holds_2000_connections_half_open(store):
    count = min(HALF_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    with served_by_the_command(store) as address, ExitStack() as attacker:
        technologist = Technologist(address)
        for number in range(count):
            sent = (b"", HALF_HEAD, HALF_BODY)[number % 3]
            attacker.enter_context(connect(address, sent))
            if number % 500 == 499:
                technologist.request("GET", "/api/films")
        technologist.request("GET", "/")
        technologist.request("GET", f"/api/films/{FILM}/pixels")
        technologist.request("PUT", f"/api/films/{FILM}/outline", BODY)
    assert load_outline(store, FILM).version == 1


def test_connection_of_the_page_stays_open_whatever_strangers_open(store):
    limits = ConnectionLimits(strangers=8)
    with serve_in_thread(store, PROTOCOL, limits) as address, ExitStack() as attacker:
        technologist = Technologist(address)
        kept = http.client.HTTPConnection(technologist.host, timeout=10)
        kept.request("GET", "/", headers={"Cookie": technologist.cookie})
        assert kept.getresponse().read()
        port = kept.sock.getsockname()[1]
        strangers = [attacker.enter_context(connect(address, HALF_HEAD)) for _ in range(40)]
        assert closed_after(strangers[0], 5)
        kept.request("GET", "/api/films", headers={"Cookie": technologist.cookie})
        assert kept.getresponse().status == 200
        assert kept.sock.getsockname()[1] == port
        kept.close()


@pytest.mark.parametrize(
    "sent", [b"", HALF_HEAD, HALF_BODY], ids=["nothing", "half its headers", "half its body"]
)
def test_request_that_drips_for_ever_is_cut_off(store, sent):
    limits = ConnectionLimits(request_s=0.3)
    with serve_in_thread(store, PROTOCOL, limits) as address, connect(address, sent) as connection:
        assert closed_after(connection, 5)


def test_body_that_drips_is_cut_off_though_its_sender_was_admitted(store):
    with serve_in_thread(store, PROTOCOL, ConnectionLimits(request_s=0.3)) as address:
        technologist = Technologist(address)
        head = (
            f"PUT /api/films/{FILM}/outline HTTP/1.1\r\nHost: {technologist.host}\r\n"
            f"Cookie: {technologist.cookie}\r\nOrigin: http://{technologist.host}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )
        with connect(address, head.encode()) as connection:
            assert closed_after(connection, 5)
    assert load_outline(store, FILM).version == 0


def test_second_request_on_a_connection_has_a_deadline_too(store):
    limits, whole = ConnectionLimits(request_s=0.3), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with serve_in_thread(store, PROTOCOL, limits) as address, connect(address, whole) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 421")
        time.sleep(0.6)  # between requests no deadline runs
        connection.sendall(HALF_HEAD)
        assert not closed_after(connection, 0.1)
        assert closed_after(connection, 5)


def test_slow_film_is_no_slow_request(store, monkeypatch):
    """The deadline is for what the browser sends, not for what the page computes."""
    monkeypatch.setattr(
        "gdshare.label_page.server.make_picture", lambda film, most: time.sleep(0.8) or _picture()
    )
    with serve_in_thread(store, PROTOCOL, ConnectionLimits(request_s=0.3)) as address:
        assert Technologist(address).request("GET", f"/api/films/{FILM}/pixels") == b"\0\0"


def _picture():
    from gdshare.label_page.pictures import Picture

    return Picture(1, 1, b"\0\0")
