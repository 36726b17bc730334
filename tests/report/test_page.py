"""The page of a run, a round or a demo: its form, in a real browser."""

import re
import shutil

import pytest
from browser_kit import CONTRASTS, Activity
from markupsafe import escape
from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.label_page.browser import chromium
from gdshare.metrics import Confusion, Interval
from gdshare.report.curves import Bar, epsilon_picture, figures_picture
from gdshare.report.page import Page, Picture, Section, Table, render, write_page

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
HOSTILE = '<img src=x onerror="alert(1)">'


def example():
    """A page with every part, and a hostile name in each."""
    bars = [
        Bar("north", 0.5, Interval(0.25, 0.73)),
        Bar("pooled", 0.93, Interval(0.78, 0.98), main=True),
    ]
    counts = [Confusion(5, 0, own, 5 - own) for own in (0, 3, 5)]
    return Page(
        f"A round {HOSTILE}",
        f"Pooled, three images reach HM 0.93 [0.78, 0.98]. {HOSTILE}",
        figures_picture(bars, "HM", 0.5, "lead"),
        (f"A note. {HOSTILE}",),
        (
            Section(
                f"Curves {HOSTILE}",
                (f"By ε. {HOSTILE}",),
                (
                    epsilon_picture((0.0, 0.5, 1.0), counts, 0.5, "validation films"),
                    Picture.photographed(Image.new("L", (8, 8), 99), f"gray {HOSTILE}", HOSTILE),
                    Picture.photographed(Image.new("RGB", (8, 8), "red"), "red", "a film"),
                ),
                (Table(f"Figures {HOSTILE}", ("", "HM"), (("north", HOSTILE),)),),
                (f"gdshare classify {HOSTILE}",),
            ),
        ),
    )


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = chromium(playwright)
        yield launched
        launched.close()


@pytest.fixture(params=["light", "dark"])
def shown(browser, request, tmp_path):
    path = write_page(tmp_path / "report.html", example())
    context = browser.new_context(
        viewport={"width": 1366, "height": 768}, color_scheme=request.param
    )
    activity = Activity.of(context)
    page = context.new_page()
    page.goto(path.as_uri())
    yield page
    assert activity.messages == []
    assert all(address.startswith(("file:", "data:")) for address in activity.requests)
    context.close()


@needs_chromium
def test_its_first_screen_has_the_sentence_and_the_picture(shown):
    for part in (".verdict", "main > figure svg"):
        box = shown.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 768
    assert shown.title().startswith("A round")


@needs_chromium
def test_text_can_be_read_in_light_and_in_dark(shown):
    contrasts = shown.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert {text: own for text, own in contrasts.items() if own < 4.5} == {}
    ink = shown.evaluate("getComputedStyle(document.querySelector('main svg text')).fill")
    body = shown.evaluate("getComputedStyle(document.body).color")
    assert ink == body, "pictures take the page's colour"


@needs_chromium
def test_what_is_seen_can_be_heard(shown):
    assert shown.get_by_role("heading", level=1).count() == 1
    assert "pooled: 0.93 [0.78, 0.98]" in shown.get_by_role("img").first.get_attribute("aria-label")
    assert shown.evaluate("[...document.images].every(image => image.alt)")
    assert shown.get_by_role("table").get_by_role("rowheader").inner_text() == "north"
    assert shown.locator("html").get_attribute("lang") == "en"
    named = shown.locator("section").evaluate_all(
        "parts => parts.every(p => document.getElementById(p.getAttribute('aria-labelledby')))"
    )
    assert named
    ids = shown.locator("[id]").evaluate_all("parts => parts.map(p => p.id)")
    assert sorted(ids) == sorted(set(ids))


@needs_chromium
def test_a_hostile_name_is_text(shown):
    assert shown.locator('[src="x"]').count() == 0
    assert shown.get_by_text("Pooled, three images").inner_text().endswith(HOSTILE)


@needs_chromium
def test_it_fits_a_phone_and_a_sheet_of_paper(browser, tmp_path):
    path = write_page(tmp_path / "report.html", example())
    page = browser.new_page(viewport={"width": 375, "height": 700})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()


def test_equal_figures_give_equal_bytes():
    assert render(example()) == render(example())


def test_nothing_on_it_can_run_or_be_fetched():
    html = render(example()).decode()
    assert "default-src 'none'" in html
    assert "<script" not in html
    assert not re.search(r'(src|href)="(?!data:|#)', html.replace(str(escape(HOSTILE)), ""))
    assert "url(http" not in html
