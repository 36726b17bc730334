import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from shlex import quote

import numpy as np
import pytest
from command_kit import gdshare
from page_kit import HOME, HOST, NOW, Visitor, visitor
from PIL import Image
from store_kit import small_store, square, stored

from gdshare import label_page
from gdshare.cohort import label_cohort
from gdshare.films.box import Box
from gdshare.label_page.pictures import make_thumbnail
from gdshare.local_page.auth import HEADERS
from gdshare.local_page.responses import MAX_BODY
from gdshare.protocol import Protocol
from gdshare.store.outline import Drawing, load_outline, save_outline
from gdshare.store.table import write_table

OWN_ORIGIN = {"origin": HOME}
HELD, REJECTED = stored(2).film, stored(3).film
HELD_FIELDS = {"state": "held", "burned_in": None, "text": (Box(4, 2, 30, 9),)}
PROTOCOL = Protocol(patch=16, stride=8, side=16)
FILM = stored(0).film
ORGAN = [[square(4, 4, 60, 40), square(10, 10, 20, 20)]]
VENDOR = Path(label_page.__file__).parent / "static" / "vendor"
PATHS = [
    "/",
    "/?token=wrong",
    "/static/page.js",
    "/static/nothing.js",
    "/api/films",
    f"/api/films/{FILM}",
    f"/api/films/{FILM}/pixels",
    f"/api/films/{FILM}/thumbnail",
    "/elsewhere",
]


@pytest.fixture
def store(tmp_path):
    held_film, rejected = stored(2, **HELD_FIELDS), stored(3, state="rejected")
    return small_store(tmp_path / "store", stored(0), stored(1), held_film, rejected)


@pytest.fixture
def stranger(store):
    """A browser without token or cookie."""
    return Visitor(store, PROTOCOL)


@pytest.fixture
def page(stranger):
    """A browser that has opened the printed address."""
    assert stranger.get("/?token=the-token").status_code == 303
    return stranger


def put(page, polygons=ORGAN, diagnosis="positive", based_on=0, film=FILM, **headers):
    body = {"drawing": {"polygons": polygons, "diagnosis": diagnosis}, "based_on": based_on}
    return page.request(
        "PUT", f"/api/films/{film}/outline", json=body, headers=OWN_ORIGIN | headers
    )


def test_token_is_exchanged_for_an_httponly_cookie(stranger):
    response = stranger.get("/?token=the-token")
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "the-token" not in cookie
    assert stranger.get("/").status_code == 200


def test_token_is_void_the_second_time(page):
    page.cookies.clear()
    response = page.get("/?token=the-token")
    assert response.status_code == 403
    assert "was used before" in response.text
    assert "set-cookie" not in response.headers


def test_admitted_browser_may_open_the_printed_address_again(page):
    assert page.get("/?token=the-token").headers["location"] == "/"


@pytest.mark.parametrize("path", PATHS)
def test_stranger_gets_nothing(stranger, path):
    response = stranger.get(path)
    assert response.status_code in (401, 403)
    assert response.text.startswith("gdshare: ")


def test_wrong_cookie_opens_nothing(stranger):
    stranger.cookies.set("gdshare-8123", "the-sessio")
    assert stranger.get("/").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "localhost:8123", "127.0.0.1", "127.0.0.1:80"])
def test_foreign_host_is_refused(page, host):
    assert page.get("/api/films", headers={"host": host}).status_code == 421
    assert page.get("/?token=the-token", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "", HOST])
def test_write_from_another_origin_is_refused(page, store, origin):
    assert put(page, origin=origin).status_code == 403
    assert load_outline(store, FILM).version == 0


def test_write_without_an_origin_is_refused(page):
    body = {"drawing": {}, "based_on": 0}
    assert page.request("PUT", f"/api/films/{FILM}/outline", json=body).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_every_response_carries_the_security_headers(page, path):
    for response in (
        page.get(path),
        page.request("POST", path),
        page.get(path, headers={"host": "evil"}),
    ):
        for name, value in HEADERS:
            assert response.headers.get_list(name) == [value], (path, response.status_code, name)
    policy = dict(HEADERS)["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/static/vendor/SHA256SUMS",
        "/api/films/..%2f..%2fstore",
        "/api/films/../store.json",
        "/api/films/f-" + "z" * 16,
        f"/api/films/{FILM}%00/pixels",
    ],
)
def test_path_out_of_the_page_finds_nothing(page, path):
    assert page.get(path).status_code == 404


def test_oversized_body_is_refused_whatever_content_length_says(page, store):
    async def chunks():
        for _ in range(MAX_BODY // 65536 + 2):
            yield b" " * 65536

    headers = OWN_ORIGIN | {"content-type": "application/json"}
    for content in (b" " * (MAX_BODY + 1), chunks()):
        response = page.request(
            "PUT", f"/api/films/{FILM}/outline", content=content, headers=headers
        )
        assert response.status_code == 413
    assert load_outline(store, FILM).version == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"drawing": {"polygons": [[[[1, 2], [3, 4]]]]}, "based_on": 0}',
        b'{"drawing": {"polygons": [[[[1, 2], [3, 4], [NaN, 1]]]]}, "based_on": 0}',
        b'{"drawing": {"diagnosis": "maybe"}, "based_on": 0}',
        b'{"drawing": {}, "based_on": -1}',
        b'{"drawing": {}, "based_on": 0, "more": 1}',
        b'{"drawing": {"polygons": [[%s]]}, "based_on": 0}'
        % json.dumps([[0, 0]] * 20_001).encode(),
    ],
)
def test_body_that_is_not_a_drawing_is_refused(page, store, body):
    headers = OWN_ORIGIN | {"content-type": "application/json"}
    response = page.request("PUT", f"/api/films/{FILM}/outline", content=body, headers=headers)
    assert response.status_code == 422
    assert response.json()["error"].startswith("not a drawing")
    assert load_outline(store, FILM).version == 0


def test_form_of_another_site_is_refused(page):
    headers = {"content-type": "text/plain"}
    assert put(page, **headers).status_code == 415


def test_list_has_films_with_their_state_and_no_rejected_film(page):
    put(page)
    body = page.get("/api/films").json()
    assert body["protocol"]["patch"] == 16
    films = body["films"]
    assert [(film["state"], film["outlined"], film["diagnosis"]) for film in films] == [
        ("released", True, "positive"),
        ("released", False, None),
        ("held", False, None),
    ]


def test_patient_with_two_diagnoses_is_marked(tmp_path):
    store = small_store(tmp_path / "store", stored(0), stored(1, patient=stored(0).patient))
    save_outline(store, stored(0), Drawing(diagnosis="negative"), 0, NOW)
    save_outline(store, stored(1), Drawing(diagnosis="positive"), 0, NOW)
    films = visitor(store, PROTOCOL).get("/api/films").json()["films"]
    assert [film["contradicted"] for film in films] == [True, True]


def test_rejected_film_is_not_shown(page):
    for path in (f"/api/films/{REJECTED}", f"/api/films/{REJECTED}/pixels"):
        assert page.get(path).status_code == 403


def test_held_film_is_shown_with_the_reasons_and_cannot_be_outlined(page, store):
    assert page.get(f"/api/films/{HELD}").json() == {
        "state": "held",
        "width": 64,
        "height": 64,
        "reasons": [
            "its header does not say whether text is burned into the image",
            "possible text in 1 place",
        ],
        "text": [{"left": 4, "top": 2, "right": 30, "bottom": 9}],
        "seen": 0,
    }
    assert page.get(f"/api/films/{HELD}/pixels").status_code == 200
    assert put(page, film=HELD).status_code == 403
    assert load_outline(store, HELD).version == 0


def review(page, decision="release", boxes=(), seen=0, film=None, by="A. Reviewer", **headers):
    body = {"decision": decision, "by": by, "boxes": boxes, "seen": seen}
    path = f"/api/films/{film or HELD}/review"
    return page.request("POST", path, json=body, headers=OWN_ORIGIN | headers)


def test_release_blacks_out_boxes_and_is_recorded_with_reviewer_and_time(page, store):
    response = review(page, boxes=[{"left": 4, "top": 2, "right": 30, "bottom": 9}])
    assert response.json() == {"state": "released"}
    record = store.record(HELD)
    [entry] = record.reviews
    assert (entry.by, entry.at, entry.blanked) == ("A. Reviewer", NOW, (Box(4, 2, 30, 9),))
    assert not store.pixels(record).pixels[2:9, 4:30].any()
    assert put(page, film=HELD).status_code == 200


def test_rejected_films_pixels_are_deleted(page, store):
    assert review(page, "reject").json() == {"state": "rejected"}
    assert not store.pixels_path(HELD).exists()
    assert page.get(f"/api/films/{HELD}").status_code == 403


def test_review_of_a_film_reviewed_since_is_refused(page, store):
    review(page)
    response = review(page, "reject")
    assert response.status_code == 409
    assert "was reviewed by somebody else since" in response.json()["error"]
    assert store.pixels_path(HELD).exists()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"decision": "keep"}, 422),
        ({"by": ""}, 422),
        ({"by": "x" * 201}, 422),
        ({"boxes": [{"left": 900, "top": 0, "right": 999, "bottom": 9}]}, 422),
        ({"boxes": [{"left": 0, "top": 0, "right": 64, "bottom": 64}]}, 422),
        ({"boxes": [[0, 0, 9, 9]]}, 422),
        ({"boxes": [{"left": 0, "top": 0, "right": 9, "bottom": 9}] * 1001}, 422),
        ({"seen": -1}, 422),
        ({"film": "f-" + "q" * 16}, 404),
        ({"origin": "http://127.0.0.1:9"}, 403),
        ({"content-type": "text/plain"}, 415),
    ],
)
def test_invalid_review_changes_nothing(page, store, changes, status):
    before = store.record(HELD), store.pixels_path(HELD).read_bytes()
    assert review(page, **changes).status_code == status
    assert (store.record(HELD), store.pixels_path(HELD).read_bytes()) == before


def test_pixels_are_the_films(page, store):
    response = page.get(f"/api/films/{FILM}/pixels")
    size = int(response.headers["x-height"]), int(response.headers["x-width"])
    pixels = np.frombuffer(response.content, "<u2").reshape(size)
    np.testing.assert_array_equal(pixels, store.pixels(stored(0)).pixels)


def test_thumbnail_is_made_once_and_again_after_a_review(page, monkeypatch):
    made = []

    def counted(film):
        made.append(film.name)
        return make_thumbnail(film)

    monkeypatch.setattr("gdshare.label_page.server.make_thumbnail", counted)
    address = f"/api/films/{HELD}/thumbnail"
    before = [page.get(address) for _ in range(2)]
    assert [response.headers["content-type"] for response in before] == ["image/png"] * 2
    assert len(made) == 1
    decision = {"decision": "release", "by": "R", "seen": 0}
    body = decision | {"boxes": [{"left": 0, "top": 0, "right": 60, "bottom": 30}]}
    page.request("POST", f"/api/films/{HELD}/review", json=body, headers=OWN_ORIGIN)
    assert page.get(address).content != before[0].content
    assert len(made) == 2


@pytest.mark.parametrize("shown", ["pixels", "thumbnail"])
def test_the_page_shows_films_as_they_are_whatever_the_tone(page, store, shown):
    equalised = Visitor(store, PROTOCOL.model_copy(update={"tone": "equalise"}))
    equalised.get("/?token=the-token")
    assert equalised.get("/api/films").json()["protocol"]["tone"] == "equalise"
    address = f"/api/films/{FILM}/{shown}"
    response = equalised.get(address)
    assert (response.status_code, response.content) == (200, page.get(address).content)


def test_rejected_film_has_no_thumbnail(page):
    assert page.get(f"/api/films/{REJECTED}/thumbnail").status_code == 403


def test_save_is_on_disk_and_returns_the_grid(page, store):
    body = put(page).json()
    assert (body["version"], body["saved_at"]) == (1, "2026-11-22T09:30:00Z")
    assert load_outline(store, FILM).version == 1
    grid = body["grid"]
    assert (grid["rows"], grid["columns"], grid["patch"], grid["stride"]) == (7, 7, 16, 8)
    assert set("".join(grid["letters"])) == {"I", "P", "-"}


def test_windows_inside_are_undecided_without_a_diagnosis(page):
    grid = put(page, diagnosis=None).json()["grid"]
    assert grid["counts"]["undecided"] > 0 == grid["counts"]["n"] == grid["counts"]["p"]


def test_stale_save_is_refused_and_changes_nothing(page, store):
    put(page)
    response = put(page, diagnosis="negative")
    assert response.status_code == 409
    assert "was changed elsewhere since" in response.json()["error"]
    assert load_outline(store, FILM).drawing.diagnosis == "positive"


def test_outline_that_encloses_no_pixel_is_reported(page):
    grid = put(page, polygons=[[square(1.6, 1.6, 1.9, 1.9)]]).json()["grid"]
    assert grid["problem"] == "the outline encloses no pixel of the film; draw it again"


def test_film_too_small_for_a_window_is_reported(tmp_path):
    store = small_store(tmp_path / "store", stored(0, side=12))
    page = visitor(store, PROTOCOL)
    assert (
        "too small for a window of 16 px"
        in page.get(f"/api/films/{FILM}").json()["grid"]["problem"]
    )


def test_counts_are_those_of_the_command_line(page, store, tmp_path):
    put(page)
    put(page, [[square(-9, 3.3, 33.3, 70)]], "negative", film=stored(1).film)
    index = label_cohort(write_table(store), tmp_path / "cohort", PROTOCOL, (1.0, 0.0, 0.0))
    counts = index.counts["train"]
    assert page.get("/api/totals").json() == {
        name: getattr(counts, name) for name in ("films", "i", "n", "p", "discarded")
    }
    assert min(counts.i, counts.n, counts.p, counts.discarded) > 0


def test_counts_are_those_of_the_command_line_with_resampling(store, tmp_path):
    protocol = PROTOCOL.model_copy(update={"resample_mm": 0.2})
    page = visitor(store, protocol)
    assert put(page).json()["grid"]["patch"] == 21
    put(page, [[square(-9, 3.3, 33.3, 70)]], "negative", film=stored(1).film)
    counts = label_cohort(write_table(store), tmp_path / "c", protocol, (1.0, 0.0, 0.0)).counts
    totals = page.get("/api/totals").json()
    assert (totals["i"], totals["p"]) == (counts["train"].i, counts["train"].p)


def test_damaged_outline_is_refused_and_not_overwritten(page, store):
    put(page)
    path = store.path / "outlines" / f"{FILM}.json"
    path.write_text("{", encoding="utf-8")
    response = put(page, based_on=1)
    assert response.status_code == 422
    assert "damaged; restore its last good copy" in response.json()["error"]
    assert path.read_text(encoding="utf-8") == "{"


def test_vendored_files_are_unaltered_and_licensed():
    sums = (VENDOR / "SHA256SUMS").read_text(encoding="utf-8")
    listed = dict(reversed(line.split("  ")) for line in sums.splitlines())
    digests = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert digests == listed
    for folder in VENDOR.iterdir():
        assert folder.is_file() or (folder / "LICENSE").is_file()


def test_page_has_no_inline_code_and_loads_nothing_from_elsewhere():
    text = (VENDOR.parent / "index.html").read_text(encoding="utf-8")
    for inline in ("<style", " style=", "onclick", "http:", "https:", "//"):
        assert inline not in text.replace("<!doctype html>", "")
    assert text.count("<script") == text.count("<script src=") + text.count(
        '<script type="module" src='
    )


@pytest.fixture
def command(store):
    """The command in a process of its own, and the address it prints."""
    words = [sys.executable, "-m", "gdshare", "label", "--serve", store.path, "--patch", "16"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        yield server, server.stdout.readline().split()[-1]
        server.kill()


def test_command_serves_until_ctrl_c_and_prints_the_next_command(command, store):
    process, address = command
    host = address.split("/")[2]
    assert address.startswith("http://127.0.0.1:")
    connection = http.client.HTTPConnection(host)
    connection.request("GET", "/" + address.split("/", 3)[3])
    response = connection.getresponse()
    connection.close()
    assert response.status == 303
    assert response.getheader("server") is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert f"go on with  gdshare label {quote(str(store.path))} --patch 16 --out COHORT" in out
    assert err == ""
    assert sorted(path.name for path in store.path.iterdir()) == ["films", "store.json"]


def test_films_of_a_table_are_served_from_a_store_beside_it(store, tmp_path):
    picture = np.asarray(store.pixels(store.record(FILM)).pixels)
    Image.fromarray(picture).save(tmp_path / "DOE.png")
    table = tmp_path / "films.csv"
    table.write_text("patient,image,diagnosis\nDoe,DOE.png,positive\n", encoding="utf-8")
    words = [sys.executable, "-m", "gdshare", "label", table, "--serve", "--patch", "16"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        address = next(line for line in server.stdout if line.startswith("open")).split()[-1]
        host, query = address.split("/")[2:]
        connection = http.client.HTTPConnection(host)
        connection.request("GET", f"/{query}")
        response = connection.getresponse()
        response.read()
        cookie = response.getheader("set-cookie").partition(";")[0]
        connection.request("GET", "/api/films", headers={"Cookie": cookie})
        [film] = json.loads(connection.getresponse().read())["films"]
        connection.close()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
    assert (film["state"], film["diagnosis"]) == ("held", "positive")
    assert "held  1" in err
    assert f"go on with  gdshare label {quote(str(tmp_path / 'films-store'))}" in out
    assert (tmp_path / "films-store-identities.csv").stat().st_mode & 0o777 == 0o600


def test_port_in_use_is_refused(store):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        words = [sys.executable, "-m", "gdshare", "label", "--serve", store.path, "--port", port]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"--port {port}: cannot be opened" in done.stderr


def test_store_is_labelled_only_when_a_film_is_ready(store, tmp_path):
    run = gdshare("label", store.path, "--out", tmp_path / "cohort")
    assert run.status == 2
    assert "no film has both an outline and a diagnosis" in run.err
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{}"], "--out is missing"),
        (["{}", "--serve", "--out", "c"], "--serve creates no cohort"),
        (["{}/films", "--serve"], "not a store"),
        (["{}", "--serve", "--patch", "1"], "--patch: Input should be"),
        (["{}", "--serve", "--port", "65536"], "65536"),
    ],
)
def test_contradictory_command_is_refused(store, words, message):
    run = gdshare("label", *(word.format(store.path) for word in words))
    assert run.status == 2
    assert message in run.err
