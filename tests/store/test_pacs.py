import gzip
import ipaddress
import itertools
import json
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from dicom_kit import gradient, radiograph, save
from orthanc_kit import PASSWORD, USER
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless, generate_uid

from gdshare.errors import GdshareError
from gdshare.films.dicom.decoder import decoder
from gdshare.store import Identities, Intake, make_store
from gdshare.store.pacs import (
    Login,
    PacsError,
    Query,
    access_to,
    connect,
    find_films,
    import_from_pacs,
    read_password,
)
from gdshare.store.pacs.connection import FILM_LIMITS, QUERY_LIMITS, Limits
from gdshare.store.pacs.errors import DeadlineError, ResponseError, TransientError
from gdshare.store.pacs.query import Reference
from gdshare.store.pacs.retrieval import first_part, retrieve

FILMS = Query(("CR", "DX"))


class Sleeps(list):
    """Records the delays instead of sleeping."""

    def __call__(self, seconds):
        self.append(seconds)


def open_connection(url, sleep=None, login=None, authority=None, **options):
    return connect(
        access_to(url, login, authority), Sleeps() if sleep is None else sleep, **options
    )


def connection_to(server, **options):
    return open_connection(server.url, login=Login(USER, PASSWORD.encode()), **options)


def put(server, tmp_path, syntax=None, **elements):
    """Store a film in Orthanc; returns its UID."""
    dataset = radiograph(gradient(), BurnedInAnnotation="NO", **elements)
    syntaxes = () if syntax is None else (syntax,)
    server.put(save(dataset, tmp_path / "sent.dcm", *syntaxes))
    return str(dataset.SOPInstanceUID)


def new_intake(tmp_path, decode=None):
    letters = ("".join(word) for word in itertools.product("abcdefgh", repeat=16))
    names = itertools.islice(letters, len(list(tmp_path.glob("store/films/*"))) * 3, None)
    store = make_store(tmp_path / "store")
    return Intake(store, Identities(tmp_path / "who.csv", lambda: next(names)), decode or refuse)


def refuse(frame):
    raise AssertionError("no film here is compressed")


def import_all(connection, intake, tmp_path, query=FILMS):
    films = find_films(connection, query)
    return list(import_from_pacs(connection, films, intake, tmp_path / "arriving.dcm"))


def uids(films):
    return {film.instance for film in films}


# Against a real PACS.


def test_query_finds_only_films_of_its_dates_and_modalities(server, tmp_path):
    inside = put(server, tmp_path, StudyDate="20240131")
    put(server, tmp_path, StudyDate="20240102", Modality="CT")
    put(server, tmp_path, StudyDate="20240201")
    put(server, tmp_path, StudyDate="20231231")
    screened = put(server, tmp_path, StudyDate="20240101", Modality="RF")
    january = date(2024, 1, 1), date(2024, 1, 31)
    with connection_to(server) as connection:
        assert uids(find_films(connection, Query(("CR", "DX"), *january))) == {inside}
        assert uids(find_films(connection, Query(("CR", "RF"), *january))) == {inside, screened}
        assert len(find_films(connection, Query(("CR",), january[0], None))) == 2
        assert len(find_films(connection, Query(("CR",), None, january[1]))) == 2
        assert len(find_films(connection, FILMS)) == 3


def test_other_series_of_the_same_study_are_not_imported(server, tmp_path):
    study = {"StudyInstanceUID": generate_uid()}
    film = put(server, tmp_path, **study)
    put(server, tmp_path, Modality="CT", **study)
    with connection_to(server) as connection:
        assert uids(find_films(connection, FILMS)) == {film}


def test_import_leaves_no_temporary_file(server, tmp_path):
    for patient in ("4711", "4711", "815"):
        put(server, tmp_path, PatientID=patient)
    intake = new_intake(tmp_path)
    with connection_to(server) as connection:
        outcomes = import_all(connection, intake, tmp_path)
    assert [outcome.kind for outcome in outcomes] == ["released"] * 3
    assert len({film.patient for film in intake.store.films()}) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sent.dcm", "store", "who.csv"]


def test_second_import_retrieves_nothing_again(server, tmp_path):
    put(server, tmp_path)
    put(server, tmp_path)
    with connection_to(server) as connection:
        before = server.retrieved()
        import_all(connection, new_intake(tmp_path), tmp_path)
        assert server.retrieved() == before + 2
        new = put(server, tmp_path)
        outcomes = import_all(connection, new_intake(tmp_path), tmp_path)
    assert server.retrieved() == before + 3
    kinds = {str(outcome.path): outcome.kind for outcome in outcomes}
    assert kinds.pop(new) == "released"
    assert list(kinds.values()) == ["known"] * 2


def test_killed_import_continues_with_the_rest(server, tmp_path):
    for _ in range(4):
        put(server, tmp_path)
    before = server.retrieved()
    with connection_to(server) as connection:
        films = find_films(connection, FILMS)
        half = import_from_pacs(connection, films, new_intake(tmp_path), tmp_path / "arriving.dcm")
        next(half), next(half)
        half.close()
        (tmp_path / "arriving.dcm").write_bytes(b"left by a kill")
        outcomes = import_all(connection, new_intake(tmp_path), tmp_path)
    assert [outcome.kind for outcome in outcomes].count("known") == 2
    assert server.retrieved() == before + 4
    assert not (tmp_path / "arriving.dcm").exists()
    assert len(make_store(tmp_path / "store").names()) == 4


def test_file_left_by_a_kill_is_deleted_even_if_no_film_is_missing(server, tmp_path):
    put(server, tmp_path)
    with connection_to(server) as connection:
        import_all(connection, new_intake(tmp_path), tmp_path)
        (tmp_path / "arriving.dcm").write_bytes(b"left by a kill")
        assert [
            outcome.kind for outcome in import_all(connection, new_intake(tmp_path), tmp_path)
        ] == ["known"]
    assert not (tmp_path / "arriving.dcm").exists()


def test_film_arrives_in_its_stored_encoding(server, tmp_path):
    put(server, tmp_path, JPEGLSLossless)
    with connection_to(server) as connection:
        (film,) = find_films(connection, FILMS)
        retrieve(connection, film, tmp_path / "film.dcm")
    sent, received = dcmread(tmp_path / "sent.dcm"), dcmread(tmp_path / "film.dcm")
    assert received.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert received.PixelData == sent.PixelData


def test_compressed_film_is_imported_and_meanwhile_readable_by_its_owner_only(server, tmp_path):
    put(server, tmp_path, JPEGLSLossless)
    modes = []
    with connection_to(server) as connection, decoder() as decode:

        def watched_decode(frame):
            modes.append(stat.S_IMODE((tmp_path / "arriving.dcm").stat().st_mode))
            return decode(frame)

        (outcome,) = import_all(connection, new_intake(tmp_path, watched_decode), tmp_path)
    assert outcome.kind == "released"
    assert modes == [0o600]


def test_oversized_film_is_refused_before_it_fills_the_disk(server, tmp_path):
    put(server, tmp_path)
    small = put(server, tmp_path, Rows=2, Columns=2, PixelData=bytes(range(8)))
    with connection_to(server, films=replace(FILM_LIMITS, max_bytes=3000)) as connection:
        outcomes = import_all(connection, new_intake(tmp_path), tmp_path)
    kinds = {str(outcome.path): outcome for outcome in outcomes}
    assert kinds.pop(small).kind == "released"
    (large,) = kinds.values()
    assert large.kind == "refused"
    assert "more than 3000 bytes" in large.reason
    assert not (tmp_path / "arriving.dcm").exists()


def test_refused_film_is_named_by_its_uid_only(server, tmp_path):
    colour = put(server, tmp_path, SamplesPerPixel=3, PatientName="Doe^Jane", PatientID="4711")
    with connection_to(server) as connection:
        (outcome,) = import_all(connection, new_intake(tmp_path), tmp_path)
    assert outcome.path == Path(colour)
    assert outcome.reason.startswith(f"{colour}: is not gray-scale")
    assert str(tmp_path) not in outcome.reason


def test_wrong_password_is_one_plain_error_that_does_not_contain_it(server):
    sleeps = Sleeps()
    login = Login(USER, b"guessed-wrong")
    with (
        open_connection(server.url, sleeps, login=login) as connection,
        pytest.raises(PacsError, match="rejects the login") as error,
    ):
        find_films(connection, FILMS)
    assert "guessed-wrong" not in str(error.value) + repr(login)
    assert sleeps == []  # a retry could lock the account


def test_address_without_a_dicomweb_service_is_refused(server):
    with (
        open_connection(
            f"{server.root}/nowhere", login=Login(USER, PASSWORD.encode())
        ) as connection,
        pytest.raises(PacsError, match="nothing at that address"),
    ):
        find_films(connection, FILMS)


# Against faulty servers.


@contextmanager
def serving(answer, context=None):
    """A server; ``answer(path, query)`` returns (status, headers, chunks of the body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            parts = urlsplit(self.path)
            status, headers, chunks = answer(parts.path, parse_qs(parts.query))
            if self.headers["Host"] != f"127.0.0.1:{server.server_port}":
                status = 421  # misdirected: servers behind a proxy check the name
            if status is None:
                return  # close without a response
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for chunk in chunks:
                    self.wfile.write(chunk)
            except OSError:
                pass  # the client closed the connection

        def log_message(self, *words):
            pass

    requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        # The handshake is the handler's, which closes a connection where it fails; accept does not.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_port}/dicom-web", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def json_response(*results):
    return 200, {"Content-Type": "application/dicom+json"}, [json.dumps(results).encode()]


def result(**values):
    tags = {
        "study": "0020000D",
        "series": "0020000E",
        "instance": "00080018",
        "day": "00080020",
        "modality": "00080060",
    }
    return {tags[name]: {"vr": "UI", "Value": [value]} for name, value in values.items()}


def small_pacs(retrieval, instances=("1.2.3",)):
    """A PACS of a single study; ``retrieval(uid)`` returns the response for a film."""

    def answer(path, query):
        last = path.rsplit("/", 1)[-1]
        if int(query.get("offset", ["0"])[0]):
            return json_response()
        if last == "studies":
            return json_response(result(study="1.2", day="20240101"))
        if last == "series":
            return json_response(result(series="1.2.1", modality="CR"))
        if last == "instances":
            return json_response(*(result(instance=uid) for uid in instances))
        return retrieval(last)

    return answer


def dicom_file(tmp_path, uid="1.2.3"):
    return save(radiograph(gradient(), SOPInstanceUID=uid), tmp_path / "made.dcm").read_bytes()


def multipart(content):
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=BOUND'}
    return (
        200,
        headers,
        [b"--BOUND\r\nContent-Type: application/dicom\r\n\r\n", content, b"\r\n--BOUND--"],
    )


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "text/html"}, [b"<html>Please log in</html>"]),
        (200, {}, [b'"a word"']),
        (200, {}, [b"[[1, 2]]"]),
        (200, {}, [b"[" * 100_000]),
        (200, {}, [b'[{"0020000D": {"vr": "UI"}}]']),
        (200, {}, [b'[{"0020000D": {"vr": "UI", "Value": ["../../secret"]}}]']),
        (200, {}, [b'[{"0020000D": {"vr": "UI", "Value": [{"a": 1}]}}]']),
        (200, {"Content-Encoding": "gzip"}, [gzip.compress(bytes(100 * 1024**2), 1)]),
        (302, {"Location": "http://127.0.0.1:1/dicom-web/studies"}, []),
        (400, {}, [b"no"]),
        (500, {}, [b"Traceback of the server, with a patient's name"]),
        (403, {}, []),
    ],
)
def test_invalid_query_response_is_one_plain_error_at_once(answer):
    sleeps = Sleeps()
    with (
        serving(lambda path, query: answer) as (url, requests),
        open_connection(url, sleeps) as connection,
        pytest.raises(PacsError) as error,
    ):
        find_films(connection, Query(("CR",)))
    assert str(error.value).startswith(url)
    assert len(str(error.value)) < 250
    assert "patient" not in str(error.value)
    assert sleeps == []
    assert not any("secret" in path for path in requests)


def test_endless_query_response_is_cut_off():
    numbers = itertools.count(1)

    def answer(path, query):
        def chunks():
            yield b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}}'
            while True:
                yield b', {"0020000D": {"vr": "UI", "Value": ["1.%d"]}}' % next(numbers) * 1000

        return 200, {}, chunks()

    with (
        serving(answer) as (url, _),
        open_connection(url) as connection,
        pytest.raises(ResponseError, match="more than 16777216 bytes"),
    ):
        find_films(connection, FILMS)


def test_server_that_ignores_the_offset_is_not_queried_for_ever():
    response = json_response(result(study="1.2", series="1.2.1", instance="1.2.3", modality="CR"))
    with (
        serving(lambda path, query: response) as (url, requests),
        open_connection(url) as connection,
    ):
        assert uids(find_films(connection, FILMS)) == {"1.2.3"}
    assert len(requests) == 8


def test_server_with_small_pages_is_queried_for_all():
    def answer(path, query):
        start = int(query["offset"][0])
        if path.endswith("/studies"):
            return json_response(*(result(study=f"1.{n}") for n in range(start, min(start + 2, 7))))
        if path.endswith("/series"):
            return json_response(result(series="2.1", modality="CR"))
        study = path.split("/")[3]
        return json_response(
            *(result(instance=f"{study}.{n}") for n in range(start, min(start + 2, 3)))
        )

    with serving(answer) as (url, _), open_connection(url) as connection:
        assert len(find_films(connection, Query(("CR",)))) == 7 * 3


def test_server_that_ignores_dates_and_modalities_adds_no_other_films():
    def answer(path, query):
        if path.endswith("/studies"):
            return json_response(
                result(study="1.1", day="20231231"),
                result(study="1.2", day="20240101"),
                result(study="1.3"),
            )
        if path.endswith("/series"):
            return json_response(
                result(series="2.1", modality="CT"), result(series="2.2", modality="CR")
            )
        return json_response(result(instance="3.1"))

    with serving(answer) as (url, requests), open_connection(url) as connection:
        films = find_films(connection, Query(("CR",), since=date(2024, 1, 1)))
    query = parse_qs(urlsplit(requests[0]).query)
    assert (query["ModalitiesInStudy"], query["StudyDate"]) == (["CR"], ["20240101-"])
    assert films == [Reference("1.2", "2.2", "3.1")]


def test_unreachable_server_is_one_plain_error_after_a_few_retries():
    with serving(lambda path, query: json_response()) as (url, _):
        pass
    sleeps = Sleeps()
    with (
        open_connection(url, sleeps) as connection,
        pytest.raises(PacsError, match="does not answer"),
    ):
        find_films(connection, FILMS)
    assert sleeps == [1, 3, 9]


@pytest.mark.parametrize(
    "fault", [(None, {}, []), (503, {}, []), (200, {"Content-Length": "9"}, [b"["])]
)
def test_transient_failure_is_retried(fault, tmp_path):
    content = dicom_file(tmp_path)
    faults = iter([fault, fault])
    whole = small_pacs(lambda uid: next(faults, None) or multipart(content))
    intake = new_intake(tmp_path)
    sleeps = Sleeps()
    with (
        serving(lambda *request: next(faults, None) or whole(*request)) as (url, _),
        open_connection(url, sleeps) as connection,
    ):
        (outcome,) = import_all(connection, intake, tmp_path)
    assert outcome.kind == "held"
    assert sleeps == [1, 3]


def test_film_that_breaks_off_is_retrieved_again_from_its_start(tmp_path):
    content = dicom_file(tmp_path)
    status, headers, (start, body, end) = multipart(content)
    answers = iter([(status, headers, [start, body[:1000]]), (status, headers, [start, body, end])])
    with (
        serving(small_pacs(lambda uid: next(answers))) as (url, _),
        open_connection(url) as connection,
    ):
        retrieve(connection, Reference("1.2", "1.2.1", "1.2.3"), tmp_path / "film.dcm")
    assert (tmp_path / "film.dcm").read_bytes() == content


def test_file_without_a_multipart_message_is_accepted(tmp_path):
    content = dicom_file(tmp_path)
    answer = (200, {"Content-Type": "application/dicom"}, [content])
    with serving(small_pacs(lambda uid: answer)) as (url, _), open_connection(url) as connection:
        retrieve(connection, Reference("1.2", "1.2.1", "1.2.3"), tmp_path / "film.dcm")
    assert (tmp_path / "film.dcm").read_bytes() == content


@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, []),
        (500, {}, [b"Doe^Jane"]),
        (200, {"Content-Type": "text/html"}, [b"<html>Doe^Jane</html>"]),
        (200, {"Content-Type": "multipart/related"}, [b"Doe^Jane"]),
        (200, {"Content-Type": "multipart/related; boundary=B"}, [b"x" * 200_000]),
        (200, {"Content-Type": "application/dicom"}, [b"Doe^Jane"]),
        (200, {"Content-Type": "application/dicom"}, [bytes(128), b"DICM", b"Doe^Jane" * 9]),
    ],
)
def test_invalid_response_for_a_film_refuses_only_that_film(tmp_path, answer):
    content = dicom_file(tmp_path, "1.2")
    whole = small_pacs(
        lambda uid: answer if uid == "1.1" else multipart(content), instances=("1.1", "1.2")
    )
    with serving(whole) as (url, _), open_connection(url) as connection:
        bad, good = import_all(connection, new_intake(tmp_path), tmp_path)
    assert (bad.kind, good.kind) == ("refused", "held")
    assert bad.reason.startswith("1.1: ")
    assert "Doe" not in bad.reason or "1.1: not DICOM, or damaged" in bad.reason
    assert not (tmp_path / "arriving.dcm").exists()


def test_other_film_than_requested_is_refused(tmp_path):
    content = dicom_file(tmp_path, "1.9")
    intake = new_intake(tmp_path)
    with (
        serving(small_pacs(lambda uid: multipart(content))) as (url, _),
        open_connection(url) as connection,
    ):
        [outcome] = import_all(connection, intake, tmp_path)
    assert outcome.kind == "refused"
    assert "1.2.3: " in outcome.reason
    assert "sends another film than requested" in outcome.reason
    assert intake.store.names() == []


@pytest.mark.parametrize(("length", "most"), [({}, 2_000_000), ({"Content-Length": "9999999"}, 0)])
def test_endless_film_is_cut_off(tmp_path, length, most):
    def forever(uid):
        status, headers, (start, *_) = multipart(b"")
        return status, headers | length, itertools.chain([start], itertools.repeat(bytes(100_000)))

    path = tmp_path / "film.dcm"
    with (
        serving(small_pacs(forever)) as (url, _),
        open_connection(url, films=replace(FILM_LIMITS, max_bytes=2_000_000)) as connection,
        pytest.raises(ResponseError, match="more than 2000000 bytes"),
    ):
        retrieve(connection, Reference("1.2", "1.2.1", "1.2.3"), path)
    assert path.stat().st_size <= most


@contextmanager
def dripping(start, drip):
    """A server that sends ``start`` to each request, and then ``drip`` again and again."""
    stop = threading.Event()

    def serve(connection):
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(start)
            while not stop.wait(0.02):
                connection.sendall(drip)

    def accept():
        with ExitStack() as threads:
            while not stop.is_set():
                with suppress(OSError):
                    thread = threading.Thread(target=serve, args=(listener.accept()[0],))
                    thread.start()
                    threads.callback(thread.join)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}/dicom-web"
        finally:
            stop.set()
            accepting.join()


OK = b"HTTP/1.1 200 OK\r\n"
HEADERS = OK + b'Content-Type: multipart/related; type="application/dicom"; boundary=B\r\n'
CHUNKED = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = Limits(1024**2, head_s=0.4, body_s=0.4)
DRIPS = {
    "status line": (b"HTTP/1.1 ", b"2"),
    "headers": (OK, b"X-Pacs: 1\r\n"),
    "one header": (OK + b"X-Pacs: ", b"1"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (HEADERS + b"\r\n", b"1"),
    "body of a length": (HEADERS + b"Content-Length: 9999\r\n\r\n", b"1"),
    "compressed body": (HEADERS + b"Content-Encoding: gzip\r\n\r\n", b""),
    "chunks": (CHUNKED, b"1\r\n1\r\n"),
    "length of a chunk": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"0\r\n", b"X-Pacs: 1\r\n"),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize(("start", "drip"), DRIPS.values(), ids=DRIPS)
def test_pacs_that_drips_for_ever_hits_a_deadline(tmp_path, start, drip):
    sleeps, begun = Sleeps(), time.monotonic()
    with (
        dripping(start, drip) as address,
        open_connection(f"http://{address}", sleeps, queries=SHORT, films=SHORT) as connection,
    ):
        with pytest.raises(DeadlineError, match="takes longer than"):
            find_films(connection, FILMS)
        film = Reference("1.2", "1.2.1", "1.2.3")
        with pytest.raises(DeadlineError, match="takes longer than"):
            retrieve(connection, film, tmp_path / "film.dcm")
    assert sleeps == []
    assert time.monotonic() - begun < 10


def test_tls_handshake_that_never_ends_hits_a_deadline():
    record = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # a ServerHello of 16 KiB begins
    with (
        dripping(record, b"\x00") as address,
        open_connection(f"https://{address}", queries=SHORT) as connection,
        pytest.raises(DeadlineError, match="takes longer than"),
    ):
        find_films(connection, FILMS)


def test_pacs_that_delivers_every_film_too_late_ends_the_import(tmp_path):
    films = [Reference("1.2", "1.2.1", f"1.{number}") for number in range(9)]
    reasons = []
    with (
        dripping(HEADERS + b"\r\n", b"1") as address,
        open_connection(f"http://{address}", films=SHORT) as connection,
    ):
        path = tmp_path / "arriving.dcm"
        outcomes = import_from_pacs(connection, films, new_intake(tmp_path), path)
        with pytest.raises(PacsError, match="no longer delivers films"):
            reasons.extend(outcome.reason for outcome in outcomes)
    assert len(reasons) == 2
    assert all("takes longer than 0.4 s for one response" in reason for reason in reasons)
    assert not path.exists()


def test_next_film_has_a_deadline_of_its_own(tmp_path):
    """A deadline that has passed, or that a film kept, is not that of the next."""
    content = dicom_file(tmp_path)
    slow = iter([True, False, False])

    def retrieval(uid):
        status, headers, chunks = multipart(content)
        return status, headers, itertools.chain([time.sleep(0.6) or b""], chunks)

    def answer(uid):
        return retrieval(uid) if next(slow) else multipart(content)

    with (
        serving(small_pacs(answer)) as (url, _),
        open_connection(url, films=replace(SHORT, head_s=0.3, body_s=0.3)) as connection,
    ):
        film = Reference("1.2", "1.2.1", "1.2.3")
        with pytest.raises(DeadlineError):
            retrieve(connection, film, tmp_path / "film.dcm")
        for _ in range(2):
            retrieve(connection, film, tmp_path / "film.dcm")
            time.sleep(0.4)
    assert (tmp_path / "film.dcm").read_bytes() == content


def test_deadlines_are_minutes():
    assert (QUERY_LIMITS.head_s, QUERY_LIMITS.body_s) == (60, 120)
    assert (FILM_LIMITS.head_s, FILM_LIMITS.body_s) == (60, 900)


def test_pacs_that_disappears_ends_the_import_after_a_few_films(tmp_path):
    content = dicom_file(tmp_path, "1.0")
    names = tuple(f"1.{n}" for n in range(50))
    whole = small_pacs(lambda uid: multipart(content) if uid == "1.0" else (None, {}, []), names)
    kinds, sleeps = [], Sleeps()
    with serving(whole) as (url, _), open_connection(url, sleeps) as connection:
        films = find_films(connection, FILMS)
        outcomes = import_from_pacs(
            connection, films, new_intake(tmp_path), tmp_path / "arriving.dcm"
        )
        with pytest.raises(PacsError, match="no longer delivers films"):
            kinds.extend(outcome.kind for outcome in outcomes)
    assert kinds == ["held", "refused", "refused"]
    assert sleeps == [1, 3, 9] * 3


def test_uid_that_is_a_path_is_refused_without_a_request(tmp_path):
    whole = small_pacs(lambda uid: (404, {}, []), instances=("../../../../etc/passwd",))
    with serving(whole) as (url, requests), open_connection(url) as connection:
        (outcome,) = import_all(connection, new_intake(tmp_path), tmp_path)
    assert outcome.kind == "refused"
    assert not any("passwd" in path for path in requests)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_first_part_is_read_however_the_message_is_split(size):
    content = b"\r\n--BOUN\r\n\r\n--\r\nDICM" * 5 + b"\r"
    message = (
        b"a preamble\r\n--BOUND \r\nContent-Type: application/dicom\r\nContent-Length: 9\r\n\r\n"
        + content
        + b"\r\n--BOUND--\r\nan epilogue"
    )
    chunks = (message[start : start + size] for start in range(0, len(message), size))
    assert b"".join(first_part(chunks, b"BOUND")) == content


@pytest.mark.parametrize("message", [b"", b"--BOUND\r\n\r\nDICM", b"--BOUND\r\nX: y"])
def test_unfinished_part_is_a_transient_error(message):
    with pytest.raises(TransientError):
        list(first_part(iter([message]), b"BOUND"))


# Addresses and passwords, checked before anything is sent.


@pytest.mark.parametrize(
    "url",
    [
        "https://node:s3cret@pacs.hospital/dicom-web",
        "https://pacs.hospital/dicom-web?token=s3cret",
        "node:s3cret@pacs.hospital/dicom-web",
    ],
)
def test_address_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(PacsError, match="--dicomweb-password-file") as error:
        access_to(url)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("host", ["pacs.hospital", "10.0.0.7", "127.0.0.1.evil.org", "[fe80::1]"])
def test_unencrypted_connection_over_a_network_is_refused(host):
    with pytest.raises(PacsError, match="unencrypted"):
        access_to(f"http://{host}:8042/dicom-web")


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("http://localhost:8042/dicom-web/", "http://localhost:8042/dicom-web"),
        ("http://[::1]:8042/dicom-web", "http://[::1]:8042/dicom-web"),
        ("https://pacs.hospital/rs", "https://pacs.hospital/rs"),
    ],
)
def test_safe_address_is_accepted(url, result):
    assert access_to(url).url == result


@pytest.mark.parametrize(
    "url", ["", "pacs", "ftp://pacs/x", "https://", "https://h:99999/x", "https://[/"]
)
def test_malformed_address_is_refused(url):
    with pytest.raises(PacsError, match="not a DICOMweb address"):
        access_to(url)


def test_password_in_the_user_name_is_refused_and_not_repeated():
    with pytest.raises(PacsError, match="--dicomweb-password-file") as error:
        access_to("https://pacs/rs", Login("node:s3cret", b"x"))
    assert "s3cret" not in str(error.value)


def test_password_file_must_be_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "password"
    path.write_bytes(b"gr\xc3\xbc\xc3\x9fe\n")
    path.chmod(0o640)
    with pytest.raises(PacsError, match="chmod 600 password"):
        read_password(path)
    path.chmod(0o600)
    assert read_password(path) == "grüße".encode()
    path.write_bytes(b"\n")
    with pytest.raises(PacsError, match="contains no password"):
        read_password(path)
    with pytest.raises(PacsError, match="cannot be read"):
        read_password(tmp_path / "none")


def test_proxy_and_login_of_the_environment_are_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text(
        "machine 127.0.0.1 login other password s3cret\n", encoding="utf-8"
    )
    (tmp_path / "netrc").chmod(0o600)
    with (
        serving(lambda path, query: json_response()) as (url, requests),
        open_connection(url) as connection,
    ):
        assert find_films(connection, FILMS) == []
        assert connection.films.auth is None
    assert requests


def test_warnings_of_a_server_do_not_reach_the_terminal():
    answer = (200, {"Warning": "299 pacs: Doe^Jane"}, [b"["])
    script = (
        "import sys; from gdshare.store.pacs import *\n"
        "with connect(access_to(sys.argv[1]), print) as connection:\n"
        "    try: find_films(connection, Query(('CR',)))\n"
        "    except PacsError: pass"
    )
    with serving(lambda path, query: answer) as (url, requests):
        words = [sys.executable, "-c", script, url]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr, len(requests)) == ("", "", 1)


# Over TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A server's key and certificate, not signed by any public CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pacs")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "pacs.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_untrusted_server_is_refused_at_once(context):
    sleeps = Sleeps()
    with (
        serving(lambda path, query: json_response(), context) as (url, requests),
        open_connection(url, sleeps) as connection,
        pytest.raises(PacsError, match="--dicomweb-ca"),
    ):
        find_films(connection, FILMS)
    assert (requests, sleeps) == ([], [])


def test_certificate_of_the_hospitals_ca_is_trusted(context, certificate, tmp_path):
    content = dicom_file(tmp_path)
    with (
        serving(small_pacs(lambda uid: multipart(content)), context) as (url, _),
        open_connection(url, authority=certificate) as connection,
    ):
        (outcome,) = import_all(connection, new_intake(tmp_path), tmp_path)
    assert outcome.kind == "held"


def test_ca_file_without_certificates_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("none here", encoding="utf-8")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(GdshareError, match=f"{name}: contains no PEM certificates"):
            access_to("https://pacs/rs", authority=tmp_path / name)
