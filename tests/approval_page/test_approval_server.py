"""The approval page's API: who is admitted, what is shown, and which digest ends it."""

from dataclasses import dataclass, field

import pytest
from page_kit import HOME, HOST, AppVisitor

from gdshare.approval_page.server import COMMAND, MAX_DIGITS, Shown, approval_app
from gdshare.cli.typed_digest import require_match
from gdshare.local_page.auth import HEADERS, AuthMiddleware

DIGEST = "0123456789abcdef" * 4
SHOWN = Shown("st-mary-1", b"<!doctype html><title>what would leave</title>")
OWN_ORIGIN = {"origin": HOME}
PATHS = ("/", "/review.html", "/static/page.js", "/static/page.css", "/api/bundle")


@dataclass
class Taken:
    """What the page accepted."""

    digests: list[str] = field(default_factory=list)

    def accept(self, typed: str) -> None:
        require_match(DIGEST, typed, "the digest", "look again")
        self.digests.append(typed)


@pytest.fixture
def taken():
    return Taken()


@pytest.fixture
def stranger(taken):
    """A browser without token or cookie."""
    app = approval_app(SHOWN, taken.accept)
    return AppVisitor(AuthMiddleware(app, HOST, "the-token", "the-session", COMMAND))


@pytest.fixture
def page(stranger):
    """The browser that opened the printed address."""
    assert stranger.get("/?token=the-token").status_code == 303
    return stranger


def post(page, body, **headers):
    return page.request("POST", "/api/digest", json=body, headers=OWN_ORIGIN | headers)


@pytest.mark.parametrize("path", PATHS)
def test_stranger_gets_nothing_and_is_told_which_command_prints_the_address(stranger, path):
    response = stranger.get(path)
    assert response.status_code == 401
    assert "printed by gdshare approve --serve" in response.text


def test_stranger_types_no_digest(stranger, taken):
    assert post(stranger, {"digest": DIGEST}).status_code == 401
    assert taken.digests == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_digest_from_another_origin_is_refused(page, taken, origin):
    assert post(page, {"digest": DIGEST}, origin=origin).status_code == 403
    assert taken.digests == []


def test_what_would_leave_is_shown_byte_for_byte_and_can_run_nothing(page):
    response = page.get("/review.html")
    assert response.content == SHOWN.page
    [policy] = response.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert policy.endswith("; sandbox")
    assert "script-src" not in policy


def test_form_runs_its_own_script_alone_and_frames_its_own_page_alone(page):
    [policy] = page.get("/").headers.get_list("content-security-policy")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    text = page.get("/").text
    assert "<script" in text
    assert text.count("<script") == text.count('<script type="module" src="/static/page.js">')
    assert "style=" not in text
    assert "sandbox></iframe>" in text


@pytest.mark.parametrize("path", PATHS)
def test_every_response_carries_each_security_header_once(page, path):
    for response in (page.get(path), page.request("POST", path), page.get(f"{path}x")):
        for name, _ in HEADERS:
            assert len(response.headers.get_list(name)) == 1


def test_digest_is_told_by_nothing_but_the_page_itself(page):
    assert page.get("/api/bundle").json() == {"name": "st-mary-1"}
    for path in ("/", "/static/page.js", "/api/bundle"):
        assert DIGEST[:16] not in page.get(path).text
    assert DIGEST[:16] not in post(page, {"digest": "0" * 16}).text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"digest": "f" * 16}, "is another digest"),
        ({"digest": DIGEST[:15]}, "has 15 digits, fewer than 16"),
        ({"digest": ""}, "is empty"),
        ({"digest": "0" * (MAX_DIGITS + 1)}, "not a digest"),
        ({"digest": 7}, "not a digest"),
        ({}, "not a digest"),
        ({"digest": DIGEST, "by": "x"}, "not a digest"),
        ([], "not a digest"),
    ],
)
def test_wrong_digest_is_refused_and_does_not_end_the_page(page, taken, body, told):
    response = post(page, body)
    assert response.status_code == 422
    assert told in response.json()["error"]
    assert taken.digests == []


def test_right_digest_is_accepted_as_people_type_it(page, taken):
    typed = DIGEST[:16].upper().replace("89", "89 ")
    assert post(page, {"digest": typed}).json() == {"accepted": "st-mary-1"}
    assert taken.digests == [typed]


def test_form_of_another_site_cannot_post(page, taken):
    response = page.request("POST", "/api/digest", data={"digest": DIGEST}, headers=OWN_ORIGIN)
    assert response.status_code == 415
    assert taken.digests == []
