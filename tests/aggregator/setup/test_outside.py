"""``gdshare federation check`` against servers that are open in one way or another."""

import ssl
import threading
import warnings
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from command_kit import gdshare

from aggregator.flower.local_federation import free_ports
from aggregator.setup.outside import Door, check_outside
from gdshare.cli.exit_status import OTHER_SIDE, REFUSED, USAGE
from gdshare.deploy.certificates import Authority, certificate_pem, new_tls_key, private_pem

NOW = datetime.now(UTC)


class Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response_only(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # the check breaks connections off


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(tls=None, status=200):
        handler = type("Handler", (Handler,), {"status": status})
        server = Server(("127.0.0.1", 0), handler)
        if tls is not None:
            # The handshake is the handler's, which closes a connection where it fails.
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def tls(tmp_path):
    def context(oldest=ssl.TLSVersion.TLSv1_2, days=730):
        authority, key = Authority.new("a", NOW), new_tls_key()
        made = NOW - timedelta(days=730 - days)
        certificate = authority.server("127.0.0.1", key.public_key(), made)
        (tmp_path / "ca.pem").write_bytes(certificate_pem(authority.certificate))
        (tmp_path / "server.pem").write_bytes(certificate_pem(certificate) + private_pem(key))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "server.pem")
        if oldest < ssl.TLSVersion.TLSv1_2:
            server.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            server.minimum_version = oldest
        return server

    return context


def faults(door, ports=()):
    found = check_outside(door, NOW, ports)
    return {finding.subject: finding.what for finding in found if finding.state == "fault"}


@pytest.mark.parametrize("status", [200, 401, 404, 415, 422, 500])
def test_any_answer_to_a_stranger_fails(serve, tls, status):
    said = faults(Door("127.0.0.1", serve(tls(), status)))
    assert set(said) == {"strangers", "client certificate"}
    assert "/v1/control/start-run" in said["strangers"]


def test_server_without_tls_fails_and_what_answers_is_named(serve):
    said = faults(Door("127.0.0.1", serve()))
    assert "/health" in said["TLS"]


def test_old_tls_fails(serve, tls):
    said = faults(Door("127.0.0.1", serve(tls(ssl.TLSVersion.TLSv1))))
    assert "takes TLS 1" in said["TLS"]


def test_certificate_of_another_authority_fails(serve, tls, tmp_path):
    port = serve(tls())
    authority = Authority.new("another", NOW)
    (tmp_path / "other.pem").write_bytes(certificate_pem(authority.certificate))
    assert "certificate" in faults(Door("127.0.0.1", port, tmp_path / "other.pem"))
    assert "certificate" not in faults(Door("127.0.0.1", port, tmp_path / "ca.pem"))


@pytest.mark.parametrize(("days", "state"), [(29, "warning"), (-1, "fault"), (60, "ok")])
def test_servers_certificate_is_warned_of_thirty_days_ahead(serve, tls, days, state):
    found = check_outside(Door("127.0.0.1", serve(tls(days=days))), NOW, ())
    assert {finding.state.value for finding in found if finding.subject == "certificate"} == {state}


def test_another_port_that_answers_fails(serve, tls):
    other = serve()
    said = faults(Door("127.0.0.1", serve(tls())), (other,))
    assert said["ports"] == f"port {other} answers, on which Flower listens"


def test_command_says_it_in_one_sentence_with_a_status(serve, tls):
    ended = gdshare("federation", "check", f"127.0.0.1:{serve(tls())}")
    assert ended.status == REFUSED
    assert ended.err.count("\n") == 1
    assert "strangers can run programs there" in ended.err


def test_nobody_there_is_the_other_sides_turn():
    [port] = free_ports(1)
    assert gdshare("federation", "check", f"127.0.0.1:{port}").status == OTHER_SIDE


@pytest.mark.parametrize("address", ["hub.example", "https://hub.example:1", "a:0", "a:99999", ""])
def test_address_that_is_none_is_a_matter_of_usage(address):
    assert gdshare("federation", "check", address).status == USAGE
