"""The outlining page in real Chromium; in one test the command itself serves it."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import astuple

import pytest
from browser_kit import CONTRASTS, Activity, tab_stops
from page_kit import NOW, serve_in_thread
from playwright.sync_api import expect, sync_playwright
from store_kit import square, stored

from benchmarks.label_page.browser import (
    CHROMIUM,
    FILM,
    VIEW,
    chromium,
    drag,
    draw,
    on_screen,
    saved,
    served,
)
from docs.figures.phantom_store import phantom_store
from gdshare.films.box import Box
from gdshare.label_page import server
from gdshare.protocol import Protocol
from gdshare.store.folder import Store
from gdshare.store.outline import Drawing, load_outline, save_outline
from gdshare.store.review import review_film

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing; install it with make system"
)
SIDE = 256
PROTOCOL = Protocol(patch=37, stride=7)
OPTIONS = ("--patch", "37", "--stride", "7")
BORDER = ((0.25, 0.2), (0.75, 0.2), (0.8, 0.5), (0.6, 0.8), (0.3, 0.75))
HOLE = ((0.45, 0.45), (0.55, 0.45), (0.5, 0.55))
FIRST, SECOND = stored(0, SIDE), stored(1, SIDE)
NAME = Box(40, 20, 120, 44)
HELD = stored(2, SIDE, state="held", burned_in=None, text=(NAME,))


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = chromium(playwright)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A store without outlines."""
    return phantom_store(tmp_path_factory.mktemp("films") / "store", [FIRST, SECOND, HELD])


@pytest.fixture
def store(untouched, tmp_path):
    return Store(shutil.copytree(untouched.path, tmp_path / "store"))


@pytest.fixture
def context(browser):
    context = browser.new_context(viewport=VIEW)
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(store, context):
    """The page, showing the first film."""
    with serve_in_thread(store, PROTOCOL) as address:
        yield open_page(context, address)
        context.close()


@pytest.fixture(scope="module")
def shared_page(browser, untouched):
    """The same, shared by the tests that save nothing and reload it."""
    with serve_in_thread(untouched, PROTOCOL) as address:
        context = browser.new_context(viewport=VIEW)
        yield open_page(context, address)
        context.close()


@pytest.fixture
def fresh(shared_page):
    shared_page.reload()
    shared_page.locator(FILM).wait_for()
    return shared_page


def open_page(context, address):
    page = context.new_page()
    page.goto(address)
    page.locator(FILM).wait_for()
    return page


def intercept(page, pattern, handler):
    """Handle the requests of the reloaded page: one already loaded may still send some past."""
    page.route(pattern, handler)
    page.reload()
    page.locator(FILM).wait_for()


def drawing(store, film=FIRST):
    return load_outline(store, film.film).drawing


def counts(page, *names):
    return [int(page.locator(f"#{name}").inner_text()) for name in names]


def test_films_are_outlined_edited_and_labelled_with_the_command_lines_counts(
    store, context, tmp_path
):
    activity = Activity.of(context)
    with served(store, *OPTIONS) as address:
        page = open_page(context, address)
        draw(page, BORDER)
        draw(page, HOLE, "h")
        page.keyboard.press("Escape")
        page.keyboard.press("p")
        saved(page, 3)
        page.keyboard.press("j")
        page.wait_for_url(f"**/#{SECOND.film}")
        draw(page, BORDER)
        page.keyboard.press("n")
        saved(page, 2)
        before = counts(page, "film-n")
        drag(page, BORDER[0], (0.45, 0.4))
        saved(page, 3)
        assert counts(page, "film-n") < before

        page.reload()
        page.locator(FILM).wait_for()
        assert page.locator("#name").inner_text() == SECOND.film
        expect(page.locator("#all")).to_have_text("2 ready films")
        totals = counts(page, "all-i", "all-n", "all-p", "all-discarded")
        assert page.locator("#progress").inner_text() == "2 of 2 ready"
        home = address.split("?")[0]

    words = ["label", store.path, "--out", tmp_path / "cohort", *OPTIONS, "--json"]
    run = subprocess.run(
        [sys.executable, "-m", "gdshare", *words], capture_output=True, text=True, check=True
    )
    result = json.loads(run.stdout)
    splits = [result[name] for name in ("train", "val", "test")]
    assert totals == [sum(split[key] for split in splits) for key in ("i", "n", "p", "discarded")]
    assert min(totals) > 0
    assert len(drawing(store).polygons[0]) == 2
    assert activity.messages == []
    assert [url for url in activity.requests if not url.startswith(home)] == []


def test_changes_are_undone_redone_and_deleted_by_keys(page, store):
    draw(page, BORDER)
    outline = drawing(store)
    draw(page, HOLE, "h")
    page.keyboard.press("u")
    saved(page, 3)
    assert drawing(store) == outline
    page.keyboard.press("r")
    saved(page, 4)
    assert len(drawing(store).polygons[0]) == 2
    page.keyboard.press("Delete")
    saved(page, 5)
    assert drawing(store) == Drawing()
    assert counts(page, "film-i") == [0]
    page.keyboard.press("Control+z")
    saved(page, 6)
    assert len(drawing(store).polygons[0]) == 2


def test_points_are_added_and_removed_with_the_mouse(page, store):
    draw(page, BORDER)
    drag(page, (0.5, 0.2), (0.5, 0.1))
    page.wait_for_timeout(500)  # a point added by dragging is saved once or twice
    ((ring,),) = drawing(store).polygons
    assert len(ring) == len(BORDER) + 1
    page.mouse.click(*on_screen(page, [(0.5, 0.1)])[0], button="right")
    page.wait_for_timeout(500)
    ((ring,),) = drawing(store).polygons
    assert len(ring) == len(BORDER)


def test_one_of_several_outlines_is_selected_and_deleted(page, store):
    draw(page, ((0.1, 0.1), (0.3, 0.1), (0.2, 0.3)))
    draw(page, ((0.6, 0.6), (0.9, 0.6), (0.7, 0.9)))
    page.keyboard.press("s")
    page.keyboard.press("Delete")
    saved(page, 3)
    (((first, *_),),) = drawing(store).polygons
    assert first == pytest.approx((0.1 * SIDE, 0.1 * SIDE), abs=1)


def test_outline_without_points_is_removed_and_restored_by_undo(page, store):
    draw(page, ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8)))
    page.mouse.click(*on_screen(page, [(0.2, 0.2)])[0], button="right")
    saved(page, 2)
    assert drawing(store) == Drawing()
    page.keyboard.press("u")
    saved(page, 3)
    assert len(drawing(store).polygons[0][0]) == 3


def test_drawing_refused_by_the_store_is_reported_and_reverted(page, store):
    draw(page, BORDER)
    intercept(
        page, "**/outline", lambda route: route.fulfill(status=422, json={"error": "too many"})
    )
    page.keyboard.press("n")
    expect(page.locator("#alert")).to_have_text("NOT SAVED, reverted: too many")
    page.unroute("**/outline")
    assert page.locator('input[value=""]').is_checked()
    page.keyboard.press("p")
    saved(page, 2)
    assert drawing(store).diagnosis == "positive"


def test_edit_mode_after_a_drawing_is_not_ended_by_its_own_key(page):
    draw(page, BORDER)
    edit = page.locator('[data-action="edit"]')
    for pressed in ("true", "false"):
        page.keyboard.press("e")
        expect(edit).to_have_attribute("aria-pressed", pressed)


def click(page, *places):
    for place in on_screen(page, places):
        page.mouse.move(*place)
        page.mouse.click(*place)


def test_last_point_is_removed_and_no_unfinished_drawing_is_left_behind(page, store):
    page.keyboard.press("d")
    click(page, (0.2, 0.2), (0.8, 0.2), (0.9, 0.9))
    page.keyboard.press("u")
    page.keyboard.press("j")
    expect(page.locator("#alert")).to_contain_text("Finish the drawing first")
    assert page.locator("#name").inner_text() == FIRST.film
    click(page, (0.5, 0.8))
    page.keyboard.press("Enter")
    saved(page, 1)
    ((ring,),) = drawing(store).polygons
    assert len(ring) == 3
    assert max(y for _, y in ring) == pytest.approx(0.8 * SIDE, abs=1)


def test_hole_is_cut_out_of_all_outlines_around_it_and_crosses_no_border(page, store):
    draw(page, ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)))
    draw(page, ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)))
    draw(page, HOLE, "h")
    assert [len(rings) for rings in drawing(store).polygons] == [2, 2]
    page.keyboard.press("h")
    click(page, (0.5, 0.7), (0.6, 0.7), (0.55, 0.85))
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_contain_text("must not cross an outline's border")
    assert load_outline(store, FIRST.film).version == 3


def test_whole_film_stays_visible_when_the_tab_is_resized(page):
    page.set_viewport_size({"width": 1000, "height": 600})
    page.wait_for_timeout(300)
    film, area = (page.locator(selector).bounding_box() for selector in (FILM, "#map"))
    assert film["y"] >= area["y"]
    assert film["y"] + film["height"] <= area["y"] + area["height"]


def test_hole_outside_all_outlines_is_refused(page, store):
    page.keyboard.press("h")
    for place in on_screen(page, HOLE):
        page.mouse.click(*place)
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_have_text("a hole must lie inside an outline; draw it again")
    assert load_outline(store, FIRST.film).version == 0


def test_second_tab_reports_that_the_film_was_changed_and_reloads_it(page, store):
    other = page.context.new_page()
    other.goto(page.url)
    other.locator(FILM).wait_for()
    draw(page, BORDER)
    other.keyboard.press("n")
    expect(other.locator("#alert")).to_contain_text("Another tab or person changed this film")
    saved(other, 1)
    assert counts(other, "film-undecided") == counts(page, "film-undecided")
    assert drawing(store).diagnosis is None
    other.keyboard.press("n")
    saved(other, 2)
    assert drawing(store).diagnosis == "negative"
    assert drawing(store).polygons


def test_key_pressed_while_a_film_loads_changes_neither_film(page, store):
    page.evaluate(
        "for (const key of ['j', 'n', 'Delete', 'u'])"
        " document.dispatchEvent(new KeyboardEvent('keydown', { key }))"
    )
    page.wait_for_url(f"**/#{SECOND.film}")
    page.keyboard.press("p")
    saved(page, 1)
    assert load_outline(store, FIRST.film).version == 0
    assert drawing(store, SECOND).diagnosis == "positive"


def test_unsaved_change_is_kept_and_saved_later(page, store):
    intercept(page, "**/outline", lambda route: route.abort())
    page.keyboard.press("n")
    expect(page.locator("#alert")).to_contain_text("NOT SAVED: the server does not answer")
    with page.expect_event("requestfailed"):
        page.keyboard.press("j")
    page.wait_for_timeout(100)
    assert page.locator("#name").inner_text() == FIRST.film
    page.unroute("**/outline")
    saved(page, 1)
    assert drawing(store).diagnosis == "negative"
    expect(page.locator("#alert")).to_be_empty()


def test_squares_are_painted_at_the_centres_of_the_windows(page, store):
    save_outline(store, FIRST, Drawing(polygons=((square(0, 0, 128, 256),),)), 0, NOW)
    page.reload()
    page.locator(FILM).wait_for()
    expect(page.locator("#film-undecided")).not_to_have_text("0")
    fractions = [(0.5 * SIDE - left) / PROTOCOL.patch for left in range(0, 220, PROTOCOL.stride)]
    expected = [_colour(share) for share in fractions]
    # Two fifths of a square up and to the left of its centre, clear of the letter.
    offset = PROTOCOL.patch / 2 - 0.4 * PROTOCOL.stride
    row = (10 * PROTOCOL.stride + offset) / SIDE
    places = [((k * PROTOCOL.stride + offset) / SIDE, row) for k in range(len(expected))]
    corner = page.locator("#map").bounding_box()
    pixels = [
        page.evaluate(
            "([x, y]) => [...document.querySelector('.grid-layer').getContext('2d')"
            ".getImageData(x, y, 1, 1).data]",
            [x - corner["x"], y - corner["y"]],
        )
        for x, y in on_screen(page, places)
    ]
    assert [_name(pixel) for pixel in pixels] == expected
    assert set(expected) == {"inside", "outside", "discarded"}


def _colour(share):
    if share > PROTOCOL.inside:
        return "inside"
    return "outside" if share < PROTOCOL.outside else "discarded"


def _name(pixel):
    red, _, blue, opacity = pixel
    if not opacity:
        return "discarded"
    return "outside" if blue > red + 50 else "inside"


@pytest.fixture
def review(page):
    """The page, showing the held film."""
    page.locator(f"#open-{HELD.film}").click()
    expect(page.locator("#review-title")).to_be_visible()
    return page


def box(page, corner, opposite):
    """Draw a box to black out; corners in px of the film."""
    page.keyboard.press("b")
    for place in on_screen(page, [(x / SIDE, y / SIDE) for x, y in (corner, opposite)]):
        page.mouse.move(*place)
        page.mouse.click(*place)


def test_held_film_is_blacked_out_released_and_outlined(review, store):
    expect(review.locator("#held")).to_have_text("1 held for review")
    expect(review.locator("#reasons li")).to_have_count(2)
    assert review.locator("#map path").count() == 1  # the frame around detected text
    box(review, (NAME.left - 4, NAME.top - 4), (NAME.right + 4, NAME.bottom + 4))
    expect(review.locator("#marked")).to_have_text("1 box to black out")
    review.locator("#reviewer").fill("N. Urse dhx")
    review.locator("#release").click()
    expect(review.get_by_role("dialog", name=f"Release {HELD.film}?")).to_be_visible()
    review.locator("#decide-yes").click()
    expect(review.locator(f"#open-{HELD.film} span")).to_have_text("no outline, no diagnosis")
    record = store.record(HELD.film)
    assert [(entry.by, entry.decision) for entry in record.reviews] == [("N. Urse dhx", "release")]
    [area] = record.reviews[0].blanked
    assert max(abs(a - b) for a, b in zip(astuple(area), (36, 16, 124, 48), strict=True)) <= 1
    assert not store.pixels(record).pixels[area.top : area.bottom, area.left : area.right].any()
    expect(review.locator("#status")).to_have_text("nothing drawn yet")  # it was reloaded
    draw(review, BORDER)
    assert drawing(store, HELD).polygons


def test_unfinished_box_prevents_the_decision(review, store):
    review.keyboard.press("b")
    click(review, (0.2, 0.2))
    review.locator("#release").click()
    expect(review.locator("#alert")).to_contain_text("Finish the drawing first")
    expect(review.locator("#decide")).to_be_hidden()
    click(review, (0.4, 0.4))
    review.locator("#release").click()
    expect(review.locator("#decide-text")).to_contain_text("This permanently blacks out 1 box.")
    review.locator("#decide-no").click()
    review.keyboard.press("u")
    review.locator("#release").click()
    expect(review.locator("#decide-text")).to_contain_text("Nothing is blacked out.")


def test_boxes_are_kept_while_another_film_is_shown(review):
    box(review, (10, 10), (50, 50))
    review.keyboard.press("k")
    expect(review.locator("#name")).to_have_text(SECOND.film)
    review.keyboard.press("j")
    expect(review.locator("#marked")).to_have_text("1 box to black out")


def test_box_is_clipped_to_the_film_and_refused_outside_it(review, store):
    for _ in range(3):
        review.keyboard.press("-")
    box(review, (-20, 100), (60, 120))
    box(review, (-30, 10), (-10, 40))
    expect(review.locator("#alert")).to_have_text("the box lies off the film; draw it again")
    review.locator("#release").click()
    review.locator("#decide-yes").click()
    expect(review.locator(f"#open-{HELD.film} span")).to_have_text("no outline, no diagnosis")
    [area] = store.record(HELD.film).reviews[0].blanked
    assert (area.left, area.top) == pytest.approx((0, 100), abs=1)


def test_decision_without_a_name_is_refused(review, store):
    review.locator("#reviewer").fill(" ")
    review.locator("#reject").click()
    expect(review.locator("#alert")).to_have_text("Enter your name under Reviewed by.")
    assert store.record(HELD.film).state == "held"


def test_rejected_film_leaves_the_list_and_the_disk(review, store):
    review.locator("#reject").click()
    review.locator("#decide-no").click()
    assert store.record(HELD.film).state == "held"
    review.locator("#reject").click()
    review.locator("#decide-yes").click()
    expect(review.locator("#films button")).to_have_count(2)
    expect(review.locator("#name")).to_have_text(SECOND.film)
    assert not store.pixels_path(HELD.film).exists()
    assert store.record(HELD.film).reviews[0].by == "R. Adiographer"


def test_decision_is_never_about_a_film_that_was_not_on_the_screen(page, store):
    record = store.record(SECOND.film)
    store.put(record.model_copy(update={"state": "held"}))
    intercept(page, "**/pixels", lambda route: (time.sleep(1), route.continue_()))
    page.locator(f"#open-{SECOND.film}").click()
    expect(page.locator("#name")).to_have_text(SECOND.film)
    page.evaluate(
        "document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j' }));"
        "document.getElementById('reject').click()"
    )
    expect(page.locator("#decide")).to_be_hidden()  # a film is loading: no question
    expect(page.locator("#name")).to_have_text(HELD.film)
    page.locator("#reject").click()
    expect(page.locator("#decide-title")).to_have_text(f"Reject {HELD.film}?")
    page.evaluate(f"location.hash = '{SECOND.film}'")
    expect(page.locator("#name")).to_have_text(SECOND.film)
    expect(page.locator("#decide")).to_be_hidden()  # its film has left the screen
    assert {film.state for film in store.films()} == {"released", "held"}


def test_rejecting_the_last_film_leaves_an_empty_page(browser, tmp_path):
    store = phantom_store(tmp_path / "store", [HELD])
    with serve_in_thread(store, PROTOCOL) as address:
        page = open_page(browser.new_context(viewport=VIEW), address)
        page.locator("#reject").click()
        page.locator("#decide-yes").click()
        expect(page.locator("#name")).to_have_text("No film")
        expect(page.locator(FILM)).to_have_count(0)
        expect(page.locator("#release")).to_be_hidden()
        page.context.close()


def test_oversized_held_film_is_reported_as_reduced(review, store, monkeypatch):
    expect(review.locator("#reduced")).to_be_empty()
    monkeypatch.setattr(server, "REVIEW_PIXELS", SIDE * SIDE // 4)
    review.reload()
    expect(review.locator("#reduced")).to_contain_text("shown at 1/2 of its size")


def test_page_continues_when_the_film_being_outlined_is_rejected_elsewhere(page, store):
    review_film(store, FIRST.film, "reject", "somebody else", NOW)
    page.keyboard.press("n")
    expect(page.locator("#alert")).to_have_text(f"NOT SAVED: {FIRST.film}: is rejected")
    expect(page.locator("#name")).to_have_text(SECOND.film)
    expect(page.locator(f"#open-{FIRST.film}")).to_have_count(0)
    page.keyboard.press("p")
    saved(page, 1)
    assert drawing(store, SECOND).diagnosis == "positive"


def test_boxes_are_undone_and_deleted_and_never_saved_without_a_decision(review, store):
    box(review, (10, 10), (50, 50))
    box(review, (100, 100), (150, 150))
    review.keyboard.press("s")
    review.keyboard.press("Delete")
    expect(review.locator("#marked")).to_have_text("1 box to black out")
    review.keyboard.press("u")
    expect(review.locator("#marked")).to_have_text("2 boxes to black out")
    assert store.record(HELD.film) == HELD
    assert load_outline(store, HELD.film).version == 0


def test_held_film_accepts_no_outline_and_a_released_film_no_box(review, store):
    for key in ("d", "h", "e", "p"):
        review.keyboard.press(key)
        assert review.locator('[aria-pressed="true"][data-action]:visible').count() == 0
    assert load_outline(store, HELD.film).version == 0
    review.keyboard.press("k")
    expect(review.locator("#name")).to_have_text(SECOND.film)
    review.keyboard.press("b")
    assert review.locator("#hint").inner_text() == ""
    assert review.locator("#release").is_hidden()


def test_decision_overtaken_by_another_tab_is_refused(review, store):
    review_film(store, HELD.film, "release", "somebody else", NOW)
    review.locator("#reject").click()
    review.locator("#decide-yes").click()
    expect(review.locator("#alert")).to_contain_text("was reviewed by somebody else since")
    expect(review.locator("#diagnosis")).to_be_visible()
    assert store.pixels_path(HELD.film).exists()


def test_review_is_readable_and_reached_by_the_keyboard(review):
    assert min(review.evaluate(CONTRASTS).values()) >= 4.5
    stops = tab_stops(review)
    assert stops[stops.index("map") + 1 :][:3] == ["reviewer", "release", "reject"]
    assert "box" in stops


def test_picture_is_windowed_and_inverted_by_keys(fresh):
    def middle():
        return fresh.evaluate(
            f"document.querySelector('{FILM}').getContext('2d').getImageData(20, 128, 1, 1).data[0]"
        )

    def after(key):
        fresh.keyboard.press(key)
        fresh.wait_for_timeout(100)
        return middle()

    plain = middle()
    assert after("i") == 255 - plain
    assert after("i") == plain
    assert after(".") < plain
    assert after("a") == plain
    assert after(",") > plain


def test_everything_but_drawing_is_reached_by_the_keyboard_in_visual_order(fresh):
    stops = tab_stops(fresh)
    assert [name for name in stops if not name.startswith("open-")] == [
        "help-open",
        "previous",
        "next",
        "draw",
        "hole",
        "edit",
        "select",
        "delete",
        "closer",
        "farther",
        "fit",
        "map",
        "INPUT",
        "level",
        "width",
        "automatic",
        "invert",
        "grid",
        "letters",
    ]


SMALL_SCREEN = {"width": 1366, "height": 657}
"""What a browser leaves of 1366 x 768."""
CONTROLS = "button:not(#films button), input"
HIDDEN_CONTROLS = (
    f"[...document.querySelectorAll('{CONTROLS}')]"
    """.filter((e) => {
  const {left, top, right, bottom, width} = e.getBoundingClientRect();
  return width && (left < 0 || top < 0 || right > innerWidth || bottom > innerHeight);
}).map((e) => e.id || e.dataset.action)"""
)
SCROLLED = """[...document.querySelectorAll('aside, main, body')].filter((e) =>
  e.scrollHeight > e.clientHeight || e.scrollWidth > e.clientWidth).map((e) => e.tagName)"""


@pytest.mark.parametrize("film", [FIRST, HELD], ids=["released", "held"])
def test_all_tools_are_in_sight_on_a_small_screen(browser, untouched, film):
    with serve_in_thread(untouched, PROTOCOL) as address:
        context = browser.new_context(viewport=SMALL_SCREEN)
        page = open_page(context, address)
        page.locator(f"#open-{film.film}").click()
        page.locator("#name", has_text=film.film).wait_for()
        assert page.evaluate(HIDDEN_CONTROLS) == []
        assert page.evaluate(SCROLLED) == []
        assert page.locator("#map").bounding_box()["height"] > 400
        context.close()


def test_list_has_a_thumbnail_of_each_film_beside_its_name(fresh):
    for film in (FIRST, SECOND, HELD):
        entry = fresh.get_by_role("button", name=film.film)
        image = entry.locator("img")
        image.scroll_into_view_if_needed()
        loaded = "e => e.decode().then(() => [e.naturalWidth, e.alt, e.loading])"
        assert image.evaluate(loaded) == [86, "", "lazy"]
        assert image.bounding_box()["width"] == 44


def test_sides_of_window_and_square_are_told_in_px_and_mm(fresh):
    expect(fresh.locator("#size")).to_have_text("Window 37 px (5.5 mm), square 7 px (1.1 mm) wide.")


def test_unknown_pixel_size_is_told_and_no_mm(browser, tmp_path):
    unknown = phantom_store(tmp_path / "store", [stored(0, SIDE, spacing_mm=None)])
    with serve_in_thread(unknown, PROTOCOL) as address:
        context = browser.new_context(viewport=VIEW)
        page = open_page(context, address)
        text = "Window 37 px, square 7 px wide. Pixel size unknown."
        expect(page.locator("#size")).to_have_text(text)
        context.close()


def test_focus_is_visible(fresh):
    fresh.keyboard.press("Tab")
    width = fresh.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert width == "3px"


def test_single_keys_can_be_switched_off(fresh, untouched):
    fresh.locator("#letters").uncheck()
    fresh.keyboard.press("p")
    fresh.keyboard.press("i")
    assert fresh.locator('[data-action="invert"]').get_attribute("aria-pressed") == "false"
    assert load_outline(untouched, FIRST.film).version == 0


def test_help_is_on_the_page_and_text_is_readable(fresh):
    assert min(fresh.evaluate(CONTRASTS).values()) >= 4.5
    fresh.keyboard.press("?")
    expect(fresh.get_by_role("dialog", name="How to outline films")).to_be_visible()
    assert min(fresh.evaluate(CONTRASTS).values()) >= 4.5
    fresh.keyboard.press("Escape")
    expect(fresh.get_by_role("dialog")).to_be_hidden()
    for visible in (True, False):
        fresh.keyboard.press("?")
        expect(fresh.locator("#help")).to_be_visible(visible=visible)
    assert fresh.evaluate("document.getElementById('help').scrollTop") == 0


def test_every_control_has_a_name(fresh):
    nameless = fresh.evaluate(
        "[...document.querySelectorAll('button, input, #map')].filter((e) =>"
        " !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.id)"
    )
    assert nameless == []
