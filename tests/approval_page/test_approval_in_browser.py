"""The approval page in real Chromium, served by the command itself, up to a signed approval."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest
from browser_kit import CONTRASTS, Activity, tab_stops
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from desk_kit import Desk
from playwright.sync_api import expect, sync_playwright

from benchmarks.label_page.browser import CHROMIUM, chromium
from gdshare.cli import approval_page
from gdshare.cli.approval_page import LookedAt
from gdshare.cli.exit_status import INTERRUPTED
from gdshare.release import Policy

in_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing; install it with make system"
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = chromium(playwright)
        yield launched
        launched.close()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    desk.prepare()
    return desk


@contextmanager
def approving(desk, name="officer"):
    """While the block runs, the command serves the page; yields the process and the address."""
    words = ("approve", desk.prepared, "--key", desk.key(name), "--outbox", desk.outbox, "--serve")
    command = [sys.executable, "-m", "gdshare", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=os.environ.copy(), **pipes) as process:
        try:
            yield process, process.stderr.readline().split()[-1]
        finally:
            process.kill()


@pytest.fixture
def tab(browser):
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    tab = context.new_page()
    tab.activity = Activity.of(context)
    yield tab
    context.close()


@in_chromium
def test_officer_looks_types_the_digest_and_signs_in_the_terminal(desk, tab):
    with approving(desk) as (process, address):
        tab.goto(address)
        expect(tab.locator("h1")).to_have_text("Approve the release of st-mary-1")
        frame = tab.frame_locator("#review")
        expect(frame.locator("h1")).to_have_text("st-mary-1: what would leave")
        assert frame.locator("img").first.evaluate("image => image.naturalWidth") > 0
        digest = frame.locator("code").first.inner_text()
        assert digest == desk.shown()
        assert tab.activity.messages == [], "before a refusal, whose status Chromium logs"

        tab.fill("#digest", "0" * 16)
        tab.click("button")
        expect(tab.locator("#refusal")).to_contain_text("is another digest")
        assert process.poll() is None
        assert desk.entries() == ["prepare"]

        contrasts = tab.evaluate(CONTRASTS)
        assert min(contrasts.values()) >= 4.5, contrasts
        tab.fill("#digest", digest[:16])
        tab.keyboard.press("Enter")
        expect(tab.locator("#accepted")).to_contain_text("Nothing is signed yet")
        expect(tab.locator("#approve")).to_be_hidden()
        out, err = process.communicate(timeout=30)
        home = address.split("?")[0]
        assert [url for url in tab.activity.requests if not url.startswith((home, "data:"))] == []
    assert process.returncode == 0, err
    assert "approved    st-mary-1" in out
    assert desk.entries() == ["prepare", "approve"]
    assert desk.release().status == 0


@in_chromium
def test_form_is_reached_by_keys(desk, tab):
    with approving(desk) as (_, address):
        tab.goto(address)
        expect(tab.locator("h1")).to_contain_text("st-mary-1")
        stops = tab_stops(tab)
    assert "digest" in stops
    assert "BUTTON" in stops


def test_page_that_is_left_approves_nothing(desk):
    with approving(desk) as (process, address):
        httpx.get(address)  # it runs
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    assert "no digest was typed, so nothing is approved" in err
    assert desk.entries() == ["prepare"]


def test_typed_digest_alone_signs_nothing(desk, monkeypatch):
    digest = desk.shown()
    monkeypatch.setattr("gdshare.approval_page.serve_approval", lambda *page: digest)
    monkeypatch.delenv("GDSHARE_PASSPHRASE")
    words = ("approve", desk.prepared, "--outbox", desk.outbox, "--serve", "--key")
    assert "no terminal to ask for the passphrase" in gdshare(*words, desk.key("officer")).err
    assert desk.entries() == ["prepare"]
    assert list((desk.prepared / "approvals").iterdir()) == []


def test_key_of_a_stranger_approves_nothing_although_the_digest_is_right(desk, monkeypatch):
    served = []

    def serve(shown, require_right, port, announce):
        require_right(desk.shown())
        served.append(shown)
        return desk.shown()[:16]

    monkeypatch.setattr("gdshare.approval_page.serve_approval", serve)
    words = ("approve", desk.prepared, "--outbox", desk.outbox, "--serve", "--key")
    assert "is not among the policy's approvers" in gdshare(*words, desk.key("st-mary")).err
    assert desk.entries() == ["prepare"]
    assert served[0].page == (desk.prepared / "review.html").read_bytes()


def test_altered_page_is_not_served(desk, monkeypatch):
    monkeypatch.setattr("gdshare.approval_page.serve_approval", pytest.fail)
    page = desk.prepared / "review.html"
    page.write_bytes(page.read_bytes() + b" ")
    words = ("approve", desk.prepared, "--outbox", desk.outbox, "--serve", "--key")
    assert "is not what the images" in gdshare(*words, desk.key("officer")).err


def test_content_that_is_swapped_while_somebody_looks_is_not_approved(desk, monkeypatch):
    looked_at = desk.shown()

    def swap(shown, require_right, port, announce):
        desk.prepared.rename(desk.folder / "looked-at")
        desk.prepare("--expires-days", 20)
        return looked_at[:16]

    monkeypatch.setattr("gdshare.approval_page.serve_approval", swap)
    words = ("approve", desk.prepared, "--outbox", desk.outbox, "--serve", "--key")
    assert "is another digest" in gdshare(*words, desk.key("officer")).err
    assert "approve" not in desk.entries()


def test_policy_that_changes_while_somebody_looks_stops_the_approval():
    with pytest.raises(approval_page.PolicyError, match="changed while you looked"):
        LookedAt("0" * 16, Policy()).require_same(Policy(attacks={"nearest-patch/1": 0.5}))
    LookedAt("0" * 16, Policy()).require_same(Policy())


def test_digest_is_typed_in_one_place(desk):
    words = ("approve", desk.prepared, "--key", desk.key("officer"), "--outbox", desk.outbox)
    assert "is typed on the page" in gdshare(*words, "--serve", "--digest", "0" * 16).err
    assert "--digest: is missing; look at review.html" in gdshare(*words).err


def test_missing_extra_is_named_before_anything_is_asked(desk, monkeypatch):
    monkeypatch.setattr("gdshare.extras.find_spec", lambda module: None)
    words = ("approve", desk.prepared, "--key", desk.key("officer"), "--outbox", desk.outbox)
    assert "pip install 'gdshare[page]'" in gdshare(*words, "--serve").err
