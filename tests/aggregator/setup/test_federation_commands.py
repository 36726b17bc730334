"""``gdshare federation``: what it makes, whom it lets in, and what it refuses."""

import json
import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from command_kit import gdshare
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gdshare.cli.exit_status import USAGE
from gdshare.deploy.certificates import (
    certificate_fingerprint,
    is_signed_by,
    read_certificates,
    subject_of,
)
from gdshare.deploy.node_request import read_node_request


@pytest.fixture(autouse=True)
def passphrase(monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "a passphrase for the test")


@pytest.fixture
def etc(tmp_path):
    gdshare("federation", "init", tmp_path / "etc", "--host", "hub.example", check=True)
    return tmp_path / "etc"


@pytest.fixture
def request_file(tmp_path):
    words = ("--site", "st-mary", "--superlink", "hub.example:8443")
    gdshare("node", "init", tmp_path / "node", *words, check=True)
    return tmp_path / "node" / "st-mary.node-request"


def test_keys_are_their_owners_alone_and_the_authoritys_is_encrypted(etc):
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((etc / name).stat().st_mode) == 0o600
    assert b"ENCRYPTED" in (etc / "ca.key").read_bytes()


def test_servers_certificate_is_for_its_host_and_its_loopback_and_no_client(etc):
    [ca], [server] = read_certificates(etc / "ca.pem"), read_certificates(etc / "server.pem")
    assert is_signed_by(server, ca)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hub.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    use = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.SERVER_AUTH]
    ssl.create_default_context().load_verify_locations(etc / "ca.pem")


def test_folder_that_holds_something_stays_as_it_is(etc):
    before = (etc / "ca.pem").read_bytes()
    ended = gdshare("federation", "init", etc, "--host", "hub.example")
    assert (ended.status, "keys are never overwritten" in ended.err) == (USAGE, True)
    assert (etc / "ca.pem").read_bytes() == before


def test_authority_without_a_passphrase_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "")
    ended = gdshare("federation", "init", tmp_path / "etc", "--host", "hub.example")
    assert ended.status == USAGE
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("host", ["a;b", "hub.example\nListen 80", "", "$(id)", "-x"])
def test_host_that_would_be_more_than_a_name_in_nginx_is_refused(tmp_path, host):
    assert gdshare("federation", "init", tmp_path / "etc", f"--host={host}").status == USAGE
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("option", ["--work", "--state", "--logs"])
def test_path_that_would_be_more_than_a_path_in_a_script_is_refused(tmp_path, option):
    words = ("--host", "hub.example", option, "/srv/a b; rm -r x")
    assert gdshare("federation", "init", tmp_path / "etc", *words).status == USAGE


def test_request_is_signed_for_the_hospital_that_reads_out_its_fingerprint(etc, request_file):
    told = read_node_request(request_file).fingerprint
    ended = gdshare(
        *("federation", "sign", request_file, "--dir", etc, "--fingerprint", told[:16], "--json"),
        check=True,
    )
    client, ca = read_certificates(etc / "sites" / "st-mary.pem")
    assert subject_of(client) == "st-mary"
    assert is_signed_by(client, ca)
    use = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert json.loads(ended.out)["authority"] == certificate_fingerprint(ca)


def test_request_with_another_fingerprint_is_not_signed(etc, request_file):
    words = ("--dir", etc, "--fingerprint", "0" * 16)
    ended = gdshare("federation", "sign", request_file, *words)
    assert (ended.status, "is another digest" in ended.err) == (USAGE, True)
    assert not any((etc / "sites").iterdir())


def test_node_key_swapped_into_anothers_request_has_another_fingerprint(
    etc, request_file, tmp_path
):
    words = ("--site", "thief", "--superlink", "hub.example:8443")
    gdshare("node", "init", tmp_path / "thief", *words, check=True)
    own = request_file.read_bytes().splitlines(keepends=True)
    foreign = (tmp_path / "thief" / "thief.node-request").read_bytes().splitlines(keepends=True)
    told = read_node_request(request_file).fingerprint
    request_file.write_bytes(foreign[0] + b"".join(own[1:]))
    words = ("--dir", etc, "--fingerprint", told[:16])
    assert gdshare("federation", "sign", request_file, *words).status == USAGE


def test_hospital_takes_no_certificate_of_another_authority(etc, request_file, tmp_path):
    told = read_node_request(request_file).fingerprint
    gdshare("federation", "sign", request_file, "--dir", etc, "--fingerprint", told, check=True)
    reply = etc / "sites" / "st-mary.pem"
    words = ("--dir", request_file.parent, "--fingerprint", "0" * 16)
    assert gdshare("node", "certificate", reply, *words).status == USAGE
    assert not (request_file.parent / "ca.pem").exists()
    authority = certificate_fingerprint(read_certificates(etc / "ca.pem")[0])
    words = ("--dir", request_file.parent, "--fingerprint", authority[:16])
    gdshare("node", "certificate", reply, *words, check=True)
    context = ssl.create_default_context(cafile=request_file.parent / "ca.pem")
    context.load_cert_chain(request_file.parent / "st-mary.pem", request_file.parent / "tls.key")


def test_hospital_takes_no_certificate_for_another_key(etc, request_file, tmp_path):
    words = ("--site", "st-luke", "--superlink", "hub.example:8443")
    gdshare("node", "init", tmp_path / "other", *words, check=True)
    told = read_node_request(request_file).fingerprint
    gdshare("federation", "sign", request_file, "--dir", etc, "--fingerprint", told, check=True)
    authority = certificate_fingerprint(read_certificates(etc / "ca.pem")[0])
    words = ("--dir", tmp_path / "other", "--fingerprint", authority)
    ended = gdshare("node", "certificate", etc / "sites" / "st-mary.pem", *words)
    assert (ended.status, "is for another key" in ended.err) == (USAGE, True)


def test_renewed_certificate_is_for_the_same_key(etc):
    [before] = read_certificates(etc / "server.pem")
    gdshare("federation", "renew", "--dir", etc, check=True)
    [after] = read_certificates(etc / "server.pem")
    assert after.public_key() == before.public_key()
    assert after.serial_number != before.serial_number
    assert after.not_valid_after_utc > datetime.now(UTC) + timedelta(days=729)


def test_wrong_passphrase_signs_nothing(etc, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "another")
    assert gdshare("federation", "renew", "--dir", etc).status == USAGE


def test_certificates_are_good_at_once_on_a_clock_that_is_a_little_behind(etc):
    [server] = read_certificates(etc / "server.pem")
    assert server.not_valid_before_utc < datetime.now(UTC) - timedelta(minutes=5)
