import gzip
import ipaddress
import itertools
import json
import ssl
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
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
    Wanted,
    access_to,
    find_films,
    line_to,
    read_password,
    take_in_from,
)
from gdshare.store.pacs.faults import AnswerError, PassingError
from gdshare.store.pacs.query import Reference
from gdshare.store.pacs.retrieval import first_part, retrieve

FILMS = Wanted(("CR", "DX"))


class Sleeps(list):
    """Notes how long was slept, and does not."""

    def __call__(self, seconds):
        self.append(seconds)


def line(url, sleep=None, clock=lambda: 0.0, login=None, authority=None, **more):
    return line_to(
        access_to(url, login, authority), clock, Sleeps() if sleep is None else sleep, **more
    )


def to(server, **more):
    return line(server.url, login=Login(USER, PASSWORD.encode()), **more)


def put(server, tmp_path, syntax=None, **elements):
    """A film into Orthanc; its UID."""
    dataset = radiograph(gradient(), BurnedInAnnotation="NO", **elements)
    more = () if syntax is None else (syntax,)
    server.put(save(dataset, tmp_path / "sent.dcm", *more))
    return str(dataset.SOPInstanceUID)


def intake(tmp_path, decode=None):
    letters = ("".join(word) for word in itertools.product("abcdefgh", repeat=16))
    names = itertools.islice(letters, len(list(tmp_path.glob("store/films/*"))) * 3, None)
    store = make_store(tmp_path / "store")
    return Intake(store, Identities(tmp_path / "who.csv", lambda: next(names)), decode or plain)


def plain(frame):
    raise AssertionError("nothing here is compressed")


def taken(opened, told, tmp_path, wanted=FILMS):
    films = find_films(opened, wanted)
    return list(take_in_from(opened, films, told, tmp_path / "arriving.dcm"))


def uids(films):
    return {film.instance for film in films}


# Against a real PACS.


def test_query_finds_the_films_of_the_days_and_modalities_and_no_others(server, tmp_path):
    inside = put(server, tmp_path, StudyDate="20240131")
    put(server, tmp_path, StudyDate="20240102", Modality="CT")
    put(server, tmp_path, StudyDate="20240201")
    put(server, tmp_path, StudyDate="20231231")
    screened = put(server, tmp_path, StudyDate="20240101", Modality="RF")
    january = date(2024, 1, 1), date(2024, 1, 31)
    with to(server) as opened:
        assert uids(find_films(opened, Wanted(("CR", "DX"), *january))) == {inside}
        assert uids(find_films(opened, Wanted(("CR", "RF"), *january))) == {inside, screened}
        assert len(find_films(opened, Wanted(("CR",), january[0], None))) == 2
        assert len(find_films(opened, Wanted(("CR",), None, january[1]))) == 2
        assert len(find_films(opened, FILMS)) == 3


def test_other_series_of_the_same_study_stay_where_they_are(server, tmp_path):
    study = {"StudyInstanceUID": generate_uid()}
    film = put(server, tmp_path, **study)
    put(server, tmp_path, Modality="CT", **study)
    with to(server) as opened:
        assert uids(find_films(opened, FILMS)) == {film}


def test_films_come_in_and_leave_nothing_behind(server, tmp_path):
    for patient in ("4711", "4711", "815"):
        put(server, tmp_path, PatientID=patient)
    told = intake(tmp_path)
    with to(server) as opened:
        outcomes = taken(opened, told, tmp_path)
    assert [outcome.kind for outcome in outcomes] == ["released"] * 3
    assert len({film.patient for film in told.store.films()}) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sent.dcm", "store", "who.csv"]


def test_second_import_retrieves_nothing_again(server, tmp_path):
    put(server, tmp_path)
    put(server, tmp_path)
    with to(server) as opened:
        before = server.retrieved()
        taken(opened, intake(tmp_path), tmp_path)
        assert server.retrieved() == before + 2
        new = put(server, tmp_path)
        outcomes = taken(opened, intake(tmp_path), tmp_path)
    assert server.retrieved() == before + 3
    kinds = {str(outcome.path): outcome.kind for outcome in outcomes}
    assert kinds.pop(new) == "released"
    assert list(kinds.values()) == ["known"] * 2


def test_import_that_was_killed_goes_on_with_the_rest(server, tmp_path):
    for _ in range(4):
        put(server, tmp_path)
    before = server.retrieved()
    with to(server) as opened:
        films = find_films(opened, FILMS)
        half = take_in_from(opened, films, intake(tmp_path), tmp_path / "arriving.dcm")
        next(half), next(half)
        half.close()
        (tmp_path / "arriving.dcm").write_bytes(b"what a kill left")
        outcomes = taken(opened, intake(tmp_path), tmp_path)
    assert [outcome.kind for outcome in outcomes].count("known") == 2
    assert server.retrieved() == before + 4
    assert not (tmp_path / "arriving.dcm").exists()
    assert len(make_store(tmp_path / "store").names()) == 4


def test_what_a_kill_left_is_deleted_though_nothing_is_missing(server, tmp_path):
    put(server, tmp_path)
    with to(server) as opened:
        taken(opened, intake(tmp_path), tmp_path)
        (tmp_path / "arriving.dcm").write_bytes(b"what a kill left")
        assert [outcome.kind for outcome in taken(opened, intake(tmp_path), tmp_path)] == ["known"]
    assert not (tmp_path / "arriving.dcm").exists()


def test_film_arrives_in_the_encoding_that_the_pacs_keeps(server, tmp_path):
    put(server, tmp_path, JPEGLSLossless)
    with to(server) as opened:
        (film,) = find_films(opened, FILMS)
        retrieve(opened, film, tmp_path / "film.dcm")
    kept, got = dcmread(tmp_path / "sent.dcm"), dcmread(tmp_path / "film.dcm")
    assert got.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert got.PixelData == kept.PixelData


def test_compressed_film_comes_in_and_is_for_its_owner_alone_meanwhile(server, tmp_path):
    put(server, tmp_path, JPEGLSLossless)
    modes = []
    with to(server) as opened, decoder() as decode:

        def watched(frame):
            modes.append(stat.S_IMODE((tmp_path / "arriving.dcm").stat().st_mode))
            return decode(frame)

        (outcome,) = taken(opened, intake(tmp_path, watched), tmp_path)
    assert outcome.kind == "released"
    assert modes == [0o600]


def test_film_too_large_is_refused_before_it_fills_the_disk(server, tmp_path):
    put(server, tmp_path)
    small = put(server, tmp_path, Rows=2, Columns=2, PixelData=bytes(range(8)))
    with to(server, most_bytes=3000) as opened:
        outcomes = taken(opened, intake(tmp_path), tmp_path)
    kinds = {str(outcome.path): outcome for outcome in outcomes}
    assert kinds.pop(small).kind == "released"
    (large,) = kinds.values()
    assert large.kind == "refused"
    assert "more than 3000 bytes" in large.reason
    assert not (tmp_path / "arriving.dcm").exists()


def test_refused_film_is_called_by_its_uid_alone(server, tmp_path):
    colour = put(server, tmp_path, SamplesPerPixel=3, PatientName="Doe^Jane", PatientID="4711")
    with to(server) as opened:
        (outcome,) = taken(opened, intake(tmp_path), tmp_path)
    assert outcome.path == Path(colour)
    assert outcome.reason.startswith(f"{colour}: not gray-scale")
    assert str(tmp_path) not in outcome.reason


def test_wrong_password_is_one_plain_error_that_does_not_hold_it(server):
    sleeps = Sleeps()
    access = Login(USER, b"guessed-wrong")
    with (
        line(server.url, sleeps, login=access) as opened,
        pytest.raises(PacsError, match="does not let this user in") as error,
    ):
        find_films(opened, FILMS)
    assert "guessed-wrong" not in str(error.value) + repr(access)
    assert sleeps == []  # asking again would lock the account


def test_address_without_a_dicomweb_service_is_told(server):
    with (
        line(f"{server.root}/nowhere", login=Login(USER, PASSWORD.encode())) as opened,
        pytest.raises(PacsError, match="nothing at that address"),
    ):
        find_films(opened, FILMS)


# Against servers that answer what they should not.


@contextmanager
def serving(answer, context=None):
    """A server whose answers ``answer(path, query)`` gives: (status, headers, pieces of body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            parts = urlsplit(self.path)
            status, headers, pieces = answer(parts.path, parse_qs(parts.query))
            if self.headers["Host"] != f"127.0.0.1:{server.server_port}":
                status = 421  # misdirected: a server behind a proxy goes by this name
            if status is None:
                return  # hangs up without a word
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for piece in pieces:
                    self.wfile.write(piece)
            except OSError:
                pass  # the other side has had enough

        def log_message(self, *words):
            pass

    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *told: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_port}/dicom-web", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def listed(*results, status=200):
    return status, {"Content-Type": "application/dicom+json"}, [json.dumps(results).encode()]


def result(**values):
    tags = {
        "study": "0020000D",
        "series": "0020000E",
        "instance": "00080018",
        "day": "00080020",
        "modality": "00080060",
    }
    return {tags[name]: {"vr": "UI", "Value": [value]} for name, value in values.items()}


def one_film(retrieval, instances=("1.2.3",)):
    """A PACS of one study that answers all queries rightly, and retrievals as told."""

    def answer(path, query):
        last = path.rsplit("/", 1)[-1]
        if int(query.get("offset", ["0"])[0]):
            return listed()
        if last == "studies":
            return listed(result(study="1.2", day="20240101"))
        if last == "series":
            return listed(result(series="1.2.1", modality="CR"))
        if last == "instances":
            return listed(*(result(instance=uid) for uid in instances))
        return retrieval(last)

    return answer


def dicom_file(tmp_path, uid="1.2.3"):
    return save(radiograph(gradient(), SOPInstanceUID=uid), tmp_path / "made.dcm").read_bytes()


def multipart(content):
    head = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=BOUND'}
    return (
        200,
        head,
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
def test_rubbish_for_a_query_is_one_plain_error_at_once(answer):
    sleeps = Sleeps()
    with (
        serving(lambda path, query: answer) as (url, asked),
        line(url, sleeps) as opened,
        pytest.raises(PacsError) as error,
    ):
        find_films(opened, Wanted(("CR",)))
    assert str(error.value).startswith(url)
    assert len(str(error.value)) < 250
    assert "patient" not in str(error.value)
    assert sleeps == []
    assert not any("secret" in path for path in asked)


def test_query_that_never_ends_ends():
    numbers = itertools.count(1)

    def answer(path, query):
        def pieces():
            yield b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}}'
            while True:
                yield b', {"0020000D": {"vr": "UI", "Value": ["1.%d"]}}' % next(numbers) * 1000

        return 200, {}, pieces()

    with (
        serving(answer) as (url, _),
        line(url) as opened,
        pytest.raises(AnswerError, match="more than 16777216 bytes"),
    ):
        find_films(opened, FILMS)


def test_server_that_knows_no_offset_is_not_asked_for_ever():
    same = listed(result(study="1.2", series="1.2.1", instance="1.2.3", modality="CR"))
    with serving(lambda path, query: same) as (url, asked), line(url) as opened:
        assert uids(find_films(opened, FILMS)) == {"1.2.3"}
    assert len(asked) == 8


def test_server_that_gives_few_results_at_once_is_asked_for_all():
    def answer(path, query):
        start = int(query["offset"][0])
        if path.endswith("/studies"):
            return listed(*(result(study=f"1.{n}") for n in range(start, min(start + 2, 7))))
        if path.endswith("/series"):
            return listed(result(series="2.1", modality="CR"))
        study = path.split("/")[3]
        return listed(*(result(instance=f"{study}.{n}") for n in range(start, min(start + 2, 3))))

    with serving(answer) as (url, _), line(url) as opened:
        assert len(find_films(opened, Wanted(("CR",)))) == 7 * 3


def test_server_that_ignores_days_and_modalities_brings_no_other_films_in():
    def answer(path, query):
        if path.endswith("/studies"):
            return listed(
                result(study="1.1", day="20231231"),
                result(study="1.2", day="20240101"),
                result(study="1.3"),
            )
        if path.endswith("/series"):
            return listed(result(series="2.1", modality="CT"), result(series="2.2", modality="CR"))
        return listed(result(instance="3.1"))

    with serving(answer) as (url, asked), line(url) as opened:
        films = find_films(opened, Wanted(("CR",), since=date(2024, 1, 1)))
    query = parse_qs(urlsplit(asked[0]).query)
    assert (query["ModalitiesInStudy"], query["StudyDate"]) == (["CR"], ["20240101-"])
    assert films == [Reference("1.2", "2.2", "3.1")]


def test_server_that_is_not_there_is_one_plain_error_after_a_few_tries():
    with serving(lambda path, query: listed()) as (url, _):
        pass
    sleeps = Sleeps()
    with line(url, sleeps) as opened, pytest.raises(PacsError, match="does not answer"):
        find_films(opened, FILMS)
    assert sleeps == [1, 3, 9]


@pytest.mark.parametrize(
    "fault", [(None, {}, []), (503, {}, []), (200, {"Content-Length": "9"}, [b"["])]
)
def test_fault_that_passes_is_waited_for(fault, tmp_path):
    content = dicom_file(tmp_path)
    faults = iter([fault, fault])
    whole = one_film(lambda uid: next(faults, None) or multipart(content))
    told = intake(tmp_path)
    sleeps = Sleeps()
    with (
        serving(lambda *asked: next(faults, None) or whole(*asked)) as (url, _),
        line(url, sleeps) as opened,
    ):
        (outcome,) = taken(opened, told, tmp_path)
    assert outcome.kind == "held"
    assert sleeps == [1, 3]


def test_film_that_breaks_off_is_retrieved_anew_from_its_beginning(tmp_path):
    content = dicom_file(tmp_path)
    status, head, (begin, body, end) = multipart(content)
    answers = iter([(status, head, [begin, body[:1000]]), (status, head, [begin, body, end])])
    with (
        serving(one_film(lambda uid: next(answers))) as (url, _),
        line(url) as opened,
    ):
        retrieve(opened, Reference("1.2", "1.2.1", "1.2.3"), tmp_path / "film.dcm")
    assert (tmp_path / "film.dcm").read_bytes() == content


def test_file_that_comes_without_a_multipart_message_is_taken(tmp_path):
    content = dicom_file(tmp_path)
    answer = (200, {"Content-Type": "application/dicom"}, [content])
    with serving(one_film(lambda uid: answer)) as (url, _), line(url) as opened:
        retrieve(opened, Reference("1.2", "1.2.1", "1.2.3"), tmp_path / "film.dcm")
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
def test_rubbish_for_one_film_refuses_that_film_and_no_other(tmp_path, answer):
    content = dicom_file(tmp_path, "1.2")
    whole = one_film(
        lambda uid: answer if uid == "1.1" else multipart(content), instances=("1.1", "1.2")
    )
    with serving(whole) as (url, _), line(url) as opened:
        bad, good = taken(opened, intake(tmp_path), tmp_path)
    assert (bad.kind, good.kind) == ("refused", "held")
    assert bad.reason.startswith("1.1: ")
    assert "Doe" not in bad.reason or "1.1: not DICOM, or damaged" in bad.reason
    assert not (tmp_path / "arriving.dcm").exists()


def test_other_film_than_was_asked_for_is_refused(tmp_path):
    content = dicom_file(tmp_path, "1.9")
    told = intake(tmp_path)
    with serving(one_film(lambda uid: multipart(content))) as (url, _), line(url) as opened:
        [outcome] = taken(opened, told, tmp_path)
    assert outcome.kind == "refused"
    assert "1.2.3: " in outcome.reason
    assert "sends another film than it was asked for" in outcome.reason
    assert told.store.names() == []


@pytest.mark.parametrize(("length", "most"), [({}, 2_000_000), ({"Content-Length": "9999999"}, 0)])
def test_film_without_end_is_cut_off(tmp_path, length, most):
    def forever(uid):
        status, head, (begin, *_) = multipart(b"")
        return status, head | length, itertools.chain([begin], itertools.repeat(bytes(100_000)))

    path = tmp_path / "film.dcm"
    with (
        serving(one_film(forever)) as (url, _),
        line(url, most_bytes=2_000_000) as opened,
        pytest.raises(AnswerError, match="more than 2000000 bytes"),
    ):
        retrieve(opened, Reference("1.2", "1.2.1", "1.2.3"), path)
    assert path.stat().st_size <= most


def test_film_that_drips_in_for_ever_is_given_up(tmp_path):
    now = itertools.count(step=100)

    def dripping(uid):
        def pieces():
            while True:
                yield b"."

        return *multipart(b"")[:2], pieces()

    with (
        serving(one_film(dripping)) as (url, _),
        line(url, clock=lambda: float(next(now))) as opened,
    ):
        film = Reference("1.2", "1.2.1", "1.2.3")
        (outcome,) = take_in_from(opened, [film], intake(tmp_path), tmp_path / "arriving.dcm")
    assert "takes longer than 900 s" in outcome.reason


def test_pacs_that_goes_away_ends_the_import_after_a_few_films(tmp_path):
    content = dicom_file(tmp_path, "1.0")
    names = tuple(f"1.{n}" for n in range(50))
    whole = one_film(lambda uid: multipart(content) if uid == "1.0" else (None, {}, []), names)
    done, sleeps = [], Sleeps()
    with serving(whole) as (url, _), line(url, sleeps) as opened:
        films = find_films(opened, FILMS)
        outcomes = take_in_from(opened, films, intake(tmp_path), tmp_path / "arriving.dcm")
        with pytest.raises(PacsError, match="brings no films any more"):
            done.extend(outcome.kind for outcome in outcomes)
    assert done == ["held", "refused", "refused"]
    assert sleeps == [1, 3, 9] * 3


def test_film_under_a_uid_that_is_a_path_is_refused_unasked(tmp_path):
    whole = one_film(lambda uid: (404, {}, []), instances=("../../../../etc/passwd",))
    with serving(whole) as (url, asked), line(url) as opened:
        (outcome,) = taken(opened, intake(tmp_path), tmp_path)
    assert outcome.kind == "refused"
    assert not any("passwd" in path for path in asked)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_part_is_found_however_the_message_is_cut(size):
    content = b"\r\n--BOUN\r\n\r\n--\r\nDICM" * 5 + b"\r"
    message = (
        b"a preamble\r\n--BOUND \r\nContent-Type: application/dicom\r\nContent-Length: 9\r\n\r\n"
        + content
        + b"\r\n--BOUND--\r\nan epilogue"
    )
    pieces = (message[start : start + size] for start in range(0, len(message), size))
    assert b"".join(first_part(pieces, b"BOUND")) == content


@pytest.mark.parametrize("message", [b"", b"--BOUND\r\n\r\nDICM", b"--BOUND\r\nX: y"])
def test_part_that_has_no_end_is_no_part(message):
    with pytest.raises(PassingError):
        list(first_part(iter([message]), b"BOUND"))


# Before anything is sent.


@pytest.mark.parametrize(
    "url",
    [
        "https://node:s3cret@pacs.hospital/dicom-web",
        "https://pacs.hospital/dicom-web?token=s3cret",
        "node:s3cret@pacs.hospital/dicom-web",
    ],
)
def test_address_that_holds_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(PacsError, match="--dicomweb-password-file") as error:
        access_to(url)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("host", ["pacs.hospital", "10.0.0.7", "127.0.0.1.evil.org", "[fe80::1]"])
def test_clear_text_over_a_network_is_refused(host):
    with pytest.raises(PacsError, match="in clear"):
        access_to(f"http://{host}:8042/dicom-web")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://localhost:8042/dicom-web/", "http://localhost:8042/dicom-web"),
        ("http://[::1]:8042/dicom-web", "http://[::1]:8042/dicom-web"),
        ("https://pacs.hospital/rs", "https://pacs.hospital/rs"),
    ],
)
def test_address_that_is_safe_is_taken(url, kept):
    assert access_to(url).url == kept


@pytest.mark.parametrize(
    "url", ["", "pacs", "ftp://pacs/x", "https://", "https://h:99999/x", "https://[/"]
)
def test_address_that_is_none_is_refused(url):
    with pytest.raises(PacsError, match="not an address of DICOMweb"):
        access_to(url)


def test_password_typed_with_the_user_is_refused_and_not_repeated():
    with pytest.raises(PacsError, match="--dicomweb-password-file") as error:
        access_to("https://pacs/rs", Login("node:s3cret", b"x"))
    assert "s3cret" not in str(error.value)


def test_password_comes_from_a_file_for_its_owner_alone(tmp_path):
    path = tmp_path / "password"
    path.write_bytes(b"gr\xc3\xbc\xc3\x9fe\n")
    path.chmod(0o640)
    with pytest.raises(PacsError, match="chmod 600 password"):
        read_password(path)
    path.chmod(0o600)
    assert read_password(path) == "grüße".encode()
    path.write_bytes(b"\n")
    with pytest.raises(PacsError, match="holds no password"):
        read_password(path)
    with pytest.raises(PacsError, match="cannot be read"):
        read_password(tmp_path / "none")


def test_neither_proxy_nor_login_of_the_environment_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text(
        "machine 127.0.0.1 login other password s3cret\n", encoding="utf-8"
    )
    (tmp_path / "netrc").chmod(0o600)
    with serving(lambda path, query: listed()) as (url, asked), line(url) as opened:
        assert find_films(opened, FILMS) == []
        assert opened.films.auth is None
    assert asked


def test_words_of_a_server_do_not_reach_the_terminal():
    answer = (200, {"Warning": "299 pacs: Doe^Jane"}, [b"["])
    script = (
        "import sys; from gdshare.store.pacs import *\n"
        "with line_to(access_to(sys.argv[1]), float, print) as line:\n"
        "    try: find_films(line, Wanted(('CR',)))\n"
        "    except PacsError: pass"
    )
    with serving(lambda path, query: answer) as (url, asked):
        words = [sys.executable, "-c", script, url]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr, len(asked)) == ("", "", 1)


# Over TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A server's key and its certificate, which no public authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pacs")])
    now = datetime.now(UTC)
    made = (
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
    path.write_bytes(pem + made.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def context(certificate):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


def test_server_that_nobody_vouches_for_is_refused_at_once(context):
    sleeps = Sleeps()
    with (
        serving(lambda path, query: listed(), context) as (url, asked),
        line(url, sleeps) as opened,
        pytest.raises(PacsError, match="--dicomweb-ca"),
    ):
        find_films(opened, FILMS)
    assert (asked, sleeps) == ([], [])


def test_authority_of_the_hospital_vouches_for_its_pacs(context, certificate, tmp_path):
    content = dicom_file(tmp_path)
    with (
        serving(one_film(lambda uid: multipart(content)), context) as (url, _),
        line(url, authority=certificate) as opened,
    ):
        (outcome,) = taken(opened, intake(tmp_path), tmp_path)
    assert outcome.kind == "held"


def test_authority_without_certificates_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("none here", encoding="utf-8")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(GdshareError, match=f"{name}: holds no certificates"):
            access_to("https://pacs/rs", authority=tmp_path / name)
