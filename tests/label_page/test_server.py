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
from store_kit import small_store, square, stored

from gdshare import label_page
from gdshare.cohort import label_cohort
from gdshare.films.box import Box
from gdshare.label_page.answers import MAX_BODY
from gdshare.label_page.door import HEADERS
from gdshare.protocol import Protocol
from gdshare.store.outline import Drawing, outline_of, save_outline
from gdshare.store.table import write_table

SENT = {"origin": HOME}
HELD, GONE = stored(2).film, stored(3).film
DOUBTED = {"state": "held", "burned_in": None, "text": (Box(4, 2, 30, 9),)}
PROTOCOL = Protocol(patch=16, stride=8, side=16)
FILM = stored(0).film
ORGAN = [[square(4, 4, 60, 40), square(10, 10, 20, 20)]]
VENDOR = Path(label_page.__file__).parent / "static" / "vendor"
SUBJECTS = [
    "/",
    "/?token=wrong",
    "/static/page.js",
    "/static/nothing.js",
    "/api/films",
    f"/api/films/{FILM}",
    f"/api/films/{FILM}/pixels",
    "/elsewhere",
]


@pytest.fixture
def store(tmp_path):
    held, gone = stored(2, **DOUBTED), stored(3, state="rejected")
    return small_store(tmp_path / "store", stored(0), stored(1), held, gone)


@pytest.fixture
def stranger(store):
    """A browser that was given nothing."""
    return Visitor(store, PROTOCOL)


@pytest.fixture
def page(stranger):
    """A browser that opened the printed address."""
    assert stranger.get("/?token=the-token").status_code == 303
    return stranger


def put(page, polygons=ORGAN, diagnosis="positive", based_on=0, film=FILM, **headers):
    body = {"drawing": {"polygons": polygons, "diagnosis": diagnosis}, "based_on": based_on}
    return page.ask("PUT", f"/api/films/{film}/outline", json=body, headers=SENT | headers)


def test_token_is_exchanged_for_a_cookie_that_scripts_cannot_read(stranger):
    answer = stranger.get("/?token=the-token")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "the-token" not in cookie
    assert stranger.get("/").status_code == 200


def test_token_is_worth_nothing_the_second_time(page):
    page.cookies.clear()
    again = page.get("/?token=the-token")
    assert again.status_code == 403
    assert "was used before" in again.text
    assert "set-cookie" not in again.headers


def test_browser_that_is_in_may_open_the_printed_address_again(page):
    assert page.get("/?token=the-token").headers["location"] == "/"


@pytest.mark.parametrize("path", SUBJECTS)
def test_stranger_is_answered_nothing(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code in (401, 403)
    assert answer.text.startswith("gdshare: ")


def test_cookie_of_another_value_opens_nothing(stranger):
    stranger.cookies.set("gdshare-label-8123", "the-sessio")
    assert stranger.get("/").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "localhost:8123", "127.0.0.1", "127.0.0.1:80"])
def test_other_name_for_this_server_is_refused(page, host):
    assert page.get("/api/films", headers={"host": host}).status_code == 421
    assert page.get("/?token=the-token", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "", HOST])
def test_write_from_another_origin_is_refused(page, store, origin):
    assert put(page, origin=origin).status_code == 403
    assert outline_of(store, FILM).version == 0


def test_write_without_an_origin_is_refused(page):
    body = {"drawing": {}, "based_on": 0}
    assert page.ask("PUT", f"/api/films/{FILM}/outline", json=body).status_code == 403


@pytest.mark.parametrize("path", SUBJECTS)
def test_every_answer_carries_the_policy(page, path):
    for answer in (
        page.get(path),
        page.ask("POST", path),
        page.get(path, headers={"host": "evil"}),
    ):
        for name, value in HEADERS:
            assert answer.headers.get_list(name) == [value], (path, answer.status_code, name)
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
def test_path_that_leads_elsewhere_finds_nothing(page, path):
    assert page.get(path).status_code == 404


def test_oversized_body_is_refused_whatever_its_header_says(page, store):
    async def chunks():
        for _ in range(MAX_BODY // 65536 + 2):
            yield b" " * 65536

    headers = SENT | {"content-type": "application/json"}
    for content in (b" " * (MAX_BODY + 1), chunks()):
        answer = page.ask("PUT", f"/api/films/{FILM}/outline", content=content, headers=headers)
        assert answer.status_code == 413
    assert outline_of(store, FILM).version == 0


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
def test_body_that_is_no_drawing_is_refused(page, store, body):
    headers = SENT | {"content-type": "application/json"}
    answer = page.ask("PUT", f"/api/films/{FILM}/outline", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("not a drawing")
    assert outline_of(store, FILM).version == 0


def test_form_of_another_site_is_no_drawing(page):
    headers = {"content-type": "text/plain"}
    assert put(page, **headers).status_code == 415


def test_list_has_films_with_their_state_and_no_rejected_one(page):
    put(page)
    told = page.get("/api/films").json()
    assert told["protocol"]["patch"] == 16
    assert [(one["state"], one["outlined"], one["diagnosis"]) for one in told["films"]] == [
        ("released", True, "positive"),
        ("released", False, None),
        ("held", False, None),
    ]


def test_patient_with_two_diagnoses_is_marked(tmp_path):
    store = small_store(tmp_path / "store", stored(0), stored(1, patient=stored(0).patient))
    save_outline(store, stored(0), Drawing(diagnosis="negative"), 0, NOW)
    save_outline(store, stored(1), Drawing(diagnosis="positive"), 0, NOW)
    told = visitor(store, PROTOCOL).get("/api/films").json()
    assert [one["contradicted"] for one in told["films"]] == [True, True]


def test_rejected_film_is_not_shown(page):
    for path in (f"/api/films/{GONE}", f"/api/films/{GONE}/pixels"):
        assert page.get(path).status_code == 403


def test_held_film_is_shown_with_its_doubts_and_cannot_be_outlined(page, store):
    told = page.get(f"/api/films/{HELD}").json()
    assert told == {
        "state": "held",
        "width": 64,
        "height": 64,
        "reasons": [
            "its header does not say whether something is written in the picture",
            "something like writing in 1 place",
        ],
        "text": [{"left": 4, "top": 2, "right": 30, "bottom": 9}],
        "seen": 0,
    }
    assert page.get(f"/api/films/{HELD}/pixels").status_code == 200
    assert put(page, film=HELD).status_code == 403
    assert outline_of(store, HELD).version == 0


def decide(page, decision="release", boxes=(), seen=0, film=None, by="A. Reviewer", **headers):
    body = {"decision": decision, "by": by, "boxes": boxes, "seen": seen}
    path = f"/api/films/{film or HELD}/review"
    return page.ask("POST", path, json=body, headers=SENT | headers)


def test_release_makes_boxes_black_and_is_recorded_with_who_and_when(page, store):
    answer = decide(page, boxes=[{"left": 4, "top": 2, "right": 30, "bottom": 9}])
    assert answer.json() == {"state": "released"}
    record = store.record(HELD)
    [review] = record.reviews
    assert (review.by, review.at, review.blanked) == ("A. Reviewer", NOW, (Box(4, 2, 30, 9),))
    assert not store.pixels(record).pixels[2:9, 4:30].any()
    assert put(page, film=HELD).status_code == 200


def test_rejected_films_pixels_are_gone(page, store):
    assert decide(page, "reject").json() == {"state": "rejected"}
    assert not store.pixels_path(HELD).exists()
    assert page.get(f"/api/films/{HELD}").status_code == 403


def test_decision_about_a_film_that_somebody_else_decided_about_is_refused(page, store):
    decide(page)
    again = decide(page, "reject")
    assert again.status_code == 409
    assert "somebody else has decided about it since" in again.json()["error"]
    assert store.pixels_path(HELD).exists()


@pytest.mark.parametrize(
    ("told", "status"),
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
def test_review_that_cannot_be_meant_changes_nothing(page, store, told, status):
    before = store.record(HELD), store.pixels_path(HELD).read_bytes()
    assert decide(page, **told).status_code == status
    assert (store.record(HELD), store.pixels_path(HELD).read_bytes()) == before


def test_pixels_are_the_films(page, store):
    answer = page.get(f"/api/films/{FILM}/pixels")
    size = int(answer.headers["x-height"]), int(answer.headers["x-width"])
    shown = np.frombuffer(answer.content, "<u2").reshape(size)
    np.testing.assert_array_equal(shown, store.pixels(stored(0)).pixels)


def test_save_is_on_the_disk_and_answers_the_grid(page, store):
    told = put(page).json()
    assert (told["version"], told["saved_at"]) == (1, "2026-11-22T09:30:00Z")
    assert outline_of(store, FILM).version == 1
    grid = told["grid"]
    assert (grid["rows"], grid["columns"], grid["patch"], grid["stride"]) == (7, 7, 16, 8)
    assert set("".join(grid["letters"])) == {"I", "P", "-"}


def test_without_a_diagnosis_windows_inside_are_undecided(page):
    grid = put(page, diagnosis=None).json()["grid"]
    assert grid["counts"]["undecided"] > 0 == grid["counts"]["n"] == grid["counts"]["p"]


def test_stale_save_is_told_and_changes_nothing(page, store):
    put(page)
    answer = put(page, diagnosis="negative")
    assert answer.status_code == 409
    assert "was changed elsewhere since" in answer.json()["error"]
    assert outline_of(store, FILM).drawing.diagnosis == "positive"


def test_outline_that_encloses_no_pixel_is_told(page):
    grid = put(page, polygons=[[square(1.6, 1.6, 1.9, 1.9)]]).json()["grid"]
    assert grid["problem"] == "the outline encloses no pixel of the film; draw it again"


def test_film_too_small_for_a_window_is_told(tmp_path):
    store = small_store(tmp_path / "store", stored(0, side=12))
    page = visitor(store, PROTOCOL)
    assert "no window of 16 px fits" in page.get(f"/api/films/{FILM}").json()["grid"]["problem"]


def test_counts_are_those_of_the_command_line(page, store, tmp_path):
    put(page)
    put(page, [[square(-9, 3.3, 33.3, 70)]], "negative", film=stored(1).film)
    index = label_cohort(write_table(store), tmp_path / "cohort", PROTOCOL, (1.0, 0.0, 0.0))
    counts = index.counts["train"]
    assert page.get("/api/totals").json() == {
        name: getattr(counts, name) for name in ("films", "i", "n", "p", "discarded")
    }
    assert min(counts.i, counts.n, counts.p, counts.discarded) > 0


def test_counts_are_those_of_the_command_line_where_pixels_have_a_size(store, tmp_path):
    protocol = PROTOCOL.model_copy(update={"resample_mm": 0.2})
    page = visitor(store, protocol)
    assert put(page).json()["grid"]["patch"] == 21
    counts = label_cohort(write_table(store), tmp_path / "c", protocol, (1.0, 0.0, 0.0)).counts
    told = page.get("/api/totals").json()
    assert (told["i"], told["p"]) == (counts["train"].i, counts["train"].p)


def test_damaged_outline_is_told_and_not_overwritten(page, store):
    put(page)
    path = store.path / "outlines" / f"{FILM}.json"
    path.write_text("{", encoding="utf-8")
    answer = put(page, based_on=1)
    assert answer.status_code == 422
    assert "damaged; put its last good copy back" in answer.json()["error"]
    assert path.read_text(encoding="utf-8") == "{"


def test_no_vendored_file_is_altered_and_each_has_its_licence():
    listed = dict(
        reversed(line.split("  "))
        for line in (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    )
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert found == listed
    for folder in VENDOR.iterdir():
        assert folder.is_file() or (folder / "LICENSE").is_file()


def test_page_has_nothing_inline_and_nothing_from_elsewhere():
    text = (VENDOR.parent / "index.html").read_text(encoding="utf-8")
    for inline in ("<style", " style=", "onclick", "http:", "https:", "//"):
        assert inline not in text.replace("<!doctype html>", "")
    assert text.count("<script") == text.count("<script src=") + text.count(
        '<script type="module" src='
    )


@pytest.fixture
def command(store):
    """The command itself, in a process of its own; its printed address."""
    words = [sys.executable, "-m", "gdshare", "label", "--serve", store.path, "--patch", "16"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        yield one, one.stdout.readline().split()[-1]
        one.kill()


def test_command_serves_until_ctrl_c_and_says_what_is_next(command, store):
    process, address = command
    host = address.split("/")[2]
    assert address.startswith("http://127.0.0.1:")
    connection = http.client.HTTPConnection(host)
    connection.request("GET", "/" + address.split("/", 3)[3])
    answer = connection.getresponse()
    connection.close()
    assert answer.status == 303
    assert answer.getheader("server") is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert f"go on with  gdshare label {quote(str(store.path))} --patch 16 --out COHORT" in out
    assert err == ""
    assert sorted(path.name for path in store.path.iterdir()) == ["films", "store.json"]


def test_port_that_is_taken_is_told(store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [sys.executable, "-m", "gdshare", "label", "--serve", store.path, "--port", port]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"--port {port}: cannot be listened on" in done.stderr


def test_store_is_labelled_only_when_a_film_is_ready(store, tmp_path):
    status, _, err = gdshare("label", store.path, "--out", tmp_path / "cohort")
    assert status == 2
    assert "no film has both an outline and a diagnosis" in err
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{}"], "--out is missing"),
        (["{}", "--serve", "--out", "c"], "--serve makes no cohort"),
        (["{}/films", "--serve"], "not a store"),
        (["{}", "--serve", "--patch", "1"], "--patch: Input should be"),
        (["{}", "--serve", "--port", "65536"], "65536"),
    ],
)
def test_command_that_cannot_be_meant_is_refused(store, words, told):
    status, _, err = gdshare("label", *(word.format(store.path) for word in words))
    assert status == 2
    assert told in err
