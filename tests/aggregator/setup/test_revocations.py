"""The list of revoked certificates: whom a real nginx refuses, and when it refuses everybody."""

import http.client
import json
import logging
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_kit import gdshare
from cryptography.hazmat.primitives.asymmetric import ec
from nginx_kit import nginx_words

from aggregator.flower.local_federation import free_ports
from aggregator.setup.authority import sign_request
from aggregator.setup.doctor import _revocations
from aggregator.setup.place import CA, NGINX, REVOKED, FederationPlace
from aggregator.setup.revocations import read_revocations, renew_list, revoke
from aggregator.setup.write import write_federation
from gdshare.cli.exit_status import USAGE
from gdshare.deploy.certificates import (
    Authority,
    certificate_pem,
    new_tls_key,
    private_pem,
    read_certificates,
)
from gdshare.deploy.node_request import NodeRequest, new_node_key
from gdshare.errors import KeyFileError, UsageError

PASSPHRASE = "a passphrase for the test"
LET_IN, REFUSED = 404, 400
"""404: the certificate is good, and the address is none of a node's."""


@dataclass
class Federation:
    """A federation's folder, and hospitals with certificates of it."""

    place: FederationPlace
    authority: Authority
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    signed: int = 0

    def hospital(self, site: str, now: datetime | None = None) -> Path:
        """Sign a hospital's request, again if it has one; certificate and key in one file."""
        key = self.keys.setdefault(site, new_tls_key())
        wish = NodeRequest(site, new_node_key().public_key(), key.public_key())
        answer = sign_request(self.place, self.authority, wish, site, now or datetime.now(UTC))
        self.signed += 1
        own = self.place.folder.parent / f"{site}-{self.signed}.pem"
        own.write_bytes(answer.read_bytes() + private_pem(key))
        return own

    def revoke(self, target: object) -> list[int]:
        revoked = revoke(self.place, self.authority, str(target), datetime.now(UTC))
        return [certificate.serial_number for certificate in revoked]

    @property
    def listed(self) -> set[int]:
        path = self.place.folder / REVOKED
        return set(read_revocations(path, self.authority.certificate).serials)

    def context(self, certificate: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.place.folder / CA)
        context.load_cert_chain(certificate)
        return context

    def status(self, certificate: Path) -> int:
        """What nginx answers to whoever shows a certificate."""
        door = http.client.HTTPSConnection(
            "127.0.0.1", self.place.port, context=self.context(certificate), timeout=30
        )
        try:
            door.request("POST", "/", headers={"Host": self.place.host})
            return door.getresponse().status
        finally:
            door.close()


@pytest.fixture
def federation(tmp_path) -> Federation:
    port, behind = free_ports(2)
    place = FederationPlace.of(
        name="tokyo", host="hub.example", folder=tmp_path / "etc", port=port, superlink_port=behind
    )
    return Federation(place, write_federation(place, PASSPHRASE.encode(), datetime.now(UTC)))


def serial(certificate: Path) -> int:
    return read_certificates(certificate)[0].serial_number


@contextmanager
def door(federation: Federation) -> Iterator["subprocess.Popen[bytes]"]:
    """A real nginx, until the block ends."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (make system)")
    folder = federation.place.folder.parent / "nginx"
    folder.mkdir(exist_ok=True)
    words = nginx_words(federation.place.folder / NGINX, federation.place.port, folder)
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: process.poll() is None and _listens(federation.place.port))
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _children(process: "subprocess.Popen[bytes]") -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        _connected(port).close()
    except OSError:
        return False
    return True


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 30)


def test_revoked_certificate_is_refused_and_another_hospitals_still_passes(federation):
    north, south = federation.hospital("north"), federation.hospital("south")
    with door(federation):
        assert (federation.status(north), federation.status(south)) == (LET_IN, LET_IN)
    assert federation.revoke("north") == [serial(north)]
    with door(federation):
        assert (federation.status(north), federation.status(south)) == (REFUSED, LET_IN)


def test_renewed_certificate_takes_the_earlier_one_along(federation):
    """A thief of the key has both."""
    earlier, renewed = federation.hospital("north"), federation.hospital("north")
    assert serial(earlier) != serial(renewed)
    federation.revoke("north")
    with door(federation):
        assert {federation.status(earlier), federation.status(renewed)} == {REFUSED}


def test_certificate_signed_after_the_revocation_passes(federation):
    stolen = federation.hospital("north")
    federation.revoke("north")
    del federation.keys["north"]
    new = federation.hospital("north")
    with door(federation):
        assert (federation.status(stolen), federation.status(new)) == (REFUSED, LET_IN)


def test_request_of_a_revoked_key_is_not_signed_again(federation):
    federation.hospital("north")
    federation.revoke("north")
    with pytest.raises(UsageError, match="a key whose certificate was revoked"):
        federation.hospital("north")
    assert not list((federation.place.folder / "sites").iterdir())


def test_past_the_lists_end_nobody_is_let_in(federation):
    """Hence two years, a warning 30 days ahead, and one renewal for list and certificate."""
    north = federation.hospital("north")
    past = datetime.now(UTC) - timedelta(days=731)
    renew_list(federation.place, federation.authority, past)
    with door(federation):
        assert federation.status(north) == REFUSED
    renew_list(federation.place, federation.authority, datetime.now(UTC))
    with door(federation):
        assert federation.status(north) == LET_IN


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_from_before_the_revocation_opens_nothing(federation, version):
    north = federation.hospital("north")
    context = federation.context(north)
    context.minimum_version = context.maximum_version = version
    context.check_hostname = False

    def answer(session: ssl.SSLSession | None) -> tuple[bytes, ssl.SSLSession | None]:
        plain = _connected(federation.place.port)
        with context.wrap_socket(plain, session=session) as secure:
            secure.sendall(b"POST / HTTP/1.0\r\nHost: hub.example\r\n\r\n")
            return secure.recv(12), secure.session

    with door(federation) as nginx:
        first, session = answer(None)
        federation.revoke("north")
        nginx.send_signal(signal.SIGHUP)  # read all again
        _until(lambda: federation.status(north) == REFUSED and len(_children(nginx)) == 1)
        again, _ = answer(session)
    assert (first, again) == (b"HTTP/1.1 404", b"HTTP/1.1 400")


def test_one_certificate_of_a_hospital_is_revoked_by_its_file(federation):
    earlier, renewed = federation.hospital("north"), federation.hospital("north")
    file = federation.place.folder / "issued" / f"{serial(earlier):x}.pem"
    assert federation.revoke(file) == [serial(earlier)] == list(federation.listed)
    assert (federation.place.folder / "sites" / "north.pem").exists()
    assert federation.revoke("north") == [serial(renewed)]
    assert not (federation.place.folder / "sites" / "north.pem").exists()


def test_certificate_of_a_folder_that_kept_none_by_number_is_revoked_too(federation):
    """As gdshare made them before there were lists."""
    north = federation.hospital("north")
    shutil.rmtree(federation.place.folder / "issued")
    renewed = federation.hospital("north")
    assert set(federation.revoke("north")) == {serial(north), serial(renewed)}


def test_renewal_keeps_who_is_revoked_and_counts_on(federation):
    north = federation.hospital("north")
    federation.revoke("north")
    path, now = federation.place.folder / REVOKED, datetime.now(UTC)
    before = read_revocations(path, federation.authority.certificate)
    renew_list(federation.place, federation.authority, now + timedelta(days=100))
    after = read_revocations(path, federation.authority.certificate)
    assert (before.number, after.number) == (2, 3)
    assert set(after.serials) == {serial(north)}
    assert after.serials == before.serials
    assert after.end > now + timedelta(days=829)


@pytest.mark.parametrize("target", ["south", "north-2.pem", "etc/server.pem", "other.pem"])
def test_what_opens_nothing_is_not_revoked(federation, target, monkeypatch, tmp_path):
    """Nobody of that name, revoked before, the server's own, and another authority's."""
    monkeypatch.chdir(tmp_path)
    federation.hospital("north")
    federation.hospital("north")
    federation.revoke("north")
    listed = federation.listed
    other = Authority.new("another", datetime.now(UTC))
    stranger = other.client("west", new_tls_key().public_key(), datetime.now(UTC))
    (tmp_path / "other.pem").write_bytes(certificate_pem(stranger))
    with pytest.raises(UsageError):
        federation.revoke(target)
    assert federation.listed == listed


def test_certificate_that_has_ended_is_not_put_on_the_list(federation):
    federation.hospital("north", datetime.now(UTC) - timedelta(days=800))
    with pytest.raises(UsageError, match="still opens nginx"):
        federation.revoke("north")


@pytest.mark.parametrize("content", [b"", b"no list", None])
def test_list_that_cannot_be_read_is_not_begun_anew(federation, content):
    """None: another authority's, with which a thief would be off the list."""
    path = federation.place.folder / REVOKED
    federation.hospital("north")
    if content is None:
        other = Federation(federation.place, Authority.new("a", datetime.now(UTC)))
        path.unlink()
        renew_list(other.place, other.authority, datetime.now(UTC))
        content = path.read_bytes()
    path.write_bytes(content)
    for change in (lambda: federation.revoke("north"), lambda: renew_now(federation)):
        with pytest.raises(KeyFileError):
            change()
    assert path.read_bytes() == content


def renew_now(federation: Federation) -> None:
    renew_list(federation.place, federation.authority, datetime.now(UTC))


def test_missing_list_is_begun_anew_and_said(federation, caplog):
    (federation.place.folder / REVOKED).unlink()
    with caplog.at_level(logging.WARNING):
        renew_now(federation)
    assert "revoke again who was on it" in caplog.text
    assert federation.listed == set()


@pytest.mark.parametrize(("days", "state"), [(31, "ok"), (29, "warning"), (-1, "fault")])
def test_doctor_warns_of_the_lists_end_thirty_days_ahead(federation, days, state):
    now = datetime.now(UTC)
    found = _revocations(federation.place, now + timedelta(days=730 - days))
    assert found.state == state
    assert "nginx refuses everybody" in found.what
    assert state == "ok" or "gdshare federation renew" in found.remedy


def test_doctor_names_a_list_that_nginx_cannot_or_does_not_read(federation):
    etc, now = federation.place.folder, datetime.now(UTC)
    text = (etc / NGINX).read_text(encoding="utf-8")
    (etc / NGINX).write_text(text.replace("ssl_crl", "#"), encoding="utf-8")
    found = _revocations(federation.place, now)
    assert (found.state, "lets in who is on the list" in found.what) == ("fault", True)
    (etc / REVOKED).write_bytes(b"no list")
    assert _revocations(federation.place, now).state == "fault"
    (etc / REVOKED).unlink()
    found = _revocations(federation.place, now)
    assert (found.state, bool(found.remedy)) == ("fault", True)


def test_command_says_what_it_revoked_and_what_root_has_to_do(federation, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    north = federation.hospital("north")
    words = ("federation", "revoke", "north", "--dir", federation.place.folder)
    said = json.loads(gdshare(*words, "--json", check=True).out)
    assert (said["revoked"], said["of"], said["on_the_list"]) == (f"{serial(north):x}", "north", 1)
    assert said["go_on_as_root_with"] == "systemctl restart nginx"
    assert federation.listed == {serial(north)}
    ended = gdshare(*words)
    assert (ended.status, ended.err.count("\n")) == (USAGE, 1)


def test_nobody_revokes_without_the_authoritys_passphrase(federation, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "another")
    federation.hospital("north")
    words = ("federation", "revoke", "north", "--dir", federation.place.folder)
    assert gdshare(*words).status == USAGE
    assert federation.listed == set()
