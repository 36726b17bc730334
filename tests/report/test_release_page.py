"""The page that an approver looks at, in a real browser."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from audit_kit import WITHIN_BOUNDS, write_attacks
from browser_kit import CONTRASTS, Activity
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from desk_kit import Desk
from playwright.sync_api import Page, sync_playwright

from benchmarks.label_page.browser import chromium
from gdshare.audit.nearest_patches import NearestPatches, write_nearest
from gdshare.bundle.attacks import Attack
from gdshare.distill.run_folder import read_result
from gdshare.release.bounds import STANDARD_BOUNDS
from gdshare.report.attack_bars import WIDTH, place

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")

LOSS = Attack(name="membership-loss/1", figure=0.625, low=0.55, high=0.75, unrelated=0.5)
PATCH = Attack(name="nearest-patch/1", figure=0.4, low=0.35, high=0.4, unrelated=0.42)
LIMITS = '[attacks]\n"membership-loss/1" = {}\n"nearest-patch/1" = 0.9\n'


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = chromium(playwright)
        yield launched
        launched.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    activity = Activity.of(context)
    yield context.new_page()
    assert activity.messages == []
    assert all(request.startswith(("file:", "data:")) for request in activity.requests)
    context.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    run = tmp_path / "run"
    distilled = read_result(run)
    write_attacks(run, distilled, (LOSS, PATCH))
    ramp = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (3, 16, 1))
    correlations = np.array([0.4, 0.3, 0.2], np.float32)
    write_nearest(run, NearestPatches(ramp, correlations), distilled)
    return desk


def shown(desk: Desk, page: Page, limit: float, approvers: tuple[str, ...] = ("officer",)) -> Page:
    desk.rule(len(approvers), approvers, LIMITS.format(limit))
    desk.prepare()
    page.goto((desk.prepared / "review.html").as_uri())
    return page


def test_bar_reaches_from_guessing_to_the_figure_and_the_limit_is_drawn_on_it(
    desk: Desk, page: Page
) -> None:
    shown(desk, page, 0.8)
    bar = page.locator('[data-attack="membership-loss/1"]')
    whole, figure, limit = (
        bar.locator(shape).bounding_box() for shape in ("svg", ".figure", ".limit")
    )
    assert figure["x"] == pytest.approx(whole["x"], abs=1)
    assert figure["width"] / whole["width"] == pytest.approx(0.25, abs=0.01)
    middle = limit["x"] + limit["width"] / 2 - whole["x"]
    assert middle / whole["width"] == pytest.approx(0.6, abs=0.01)
    assert "guessing (0.500)" in bar.inner_text()
    assert "finds everyone (1.000)" in bar.inner_text()
    nearest = page.locator('[data-attack="nearest-patch/1"] .figure')
    assert nearest.get_attribute("width") == "0.0", "no nearer than other patients' patches"


def test_figures_of_public_films_stand_beside_a_bar_to_compare_with(desk: Desk, page: Page) -> None:
    shown(desk, page, 0.8)
    assert "comparison" not in page.locator('[data-attack="membership-loss/1"]').inner_text()
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), WITHIN_BOUNDS)
    desk.rule(1, ("officer",))
    assert desk.prepare("--out", desk.folder / "bounded").status == 0
    page.goto((desk.folder / "bounded" / "review.html").as_uri())
    bar = page.locator('[data-attack="membership-bundle/1"]')
    behind = STANDARD_BOUNDS["membership-bundle/1"].behind
    assert f"For comparison, upper ends on public chest films: {behind}." in bar.inner_text()


def test_limit_that_is_not_kept_is_red_with_the_verdict(desk: Desk, page: Page) -> None:
    shown(desk, page, 0.7)
    bar = page.locator('[data-attack="membership-loss/1"]')
    assert "above the limit" in bar.inner_text()
    colour = "getComputedStyle(e).backgroundColor"
    verdict = page.get_by_text("The policy does NOT allow this release.")
    assert verdict.evaluate(f"e => {colour}") == "rgb(176, 0, 32)"
    assert page.locator(".copy").count() == 0, "there is nothing to approve"


def test_each_image_stands_beside_the_training_patch_nearest_to_it(desk: Desk, page: Page) -> None:
    shown(desk, page, 0.8)
    assert "This page stays in the hospital" in page.locator(".inside").inner_text()
    pairs = page.locator(".pair").all()
    assert len(pairs) == 3
    for pair, told in zip(pairs, ("0.400", "0.300", "0.200"), strict=True):
        image, patch = (figure.bounding_box() for figure in pair.locator("img").all())
        assert image["y"] == patch["y"]
        assert patch["x"] > image["x"] + image["width"]
        assert f"nearest training patch: correlation {told}" in pair.inner_text()


def test_patches_of_films_are_in_nothing_that_leaves(desk: Desk, page: Page) -> None:
    shown(desk, page, 0.8)
    nearest = (desk.prepared / "nearest.safetensors").read_bytes()
    assert nearest
    assert "nearest.safetensors" not in page.locator("table").last.inner_text()
    assert len(list((desk.prepared / "content").iterdir())) == 5


def test_badge_never_wraps_at_the_width_of_a_small_screen(desk: Desk, page: Page) -> None:
    shown(desk, page, 0.7)
    badges = page.locator("span.yes, span.no").all()
    assert len(badges) > 8
    for badge in badges:
        assert badge.evaluate("e => e.getClientRects().length") == 1, badge.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_line_to_copy_approves(desk: Desk, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(desk, page, 0.8)
    assert "The policy allows this release once one person besides the signer approved it." in (
        page.locator("body").inner_text()
    )
    page.locator(".copy").click()
    copied = page.evaluate("getSelection().toString()").split()
    assert copied[:3] == ["gdshare", "approve", "prepared"]
    shutil.copy(desk.key("officer"), desk.folder / "officer.key")
    monkeypatch.chdir(desk.folder)
    gdshare(*copied[1:], check=True)
    assert desk.release()[0] == 0


def test_every_text_can_be_read(desk: Desk, page: Page) -> None:
    for limit in (0.7, 0.8):
        shutil.rmtree(desk.prepared, ignore_errors=True)
        shown(desk, page, limit)
        assert min(page.evaluate(CONTRASTS).values()) >= 4.5


def test_policy_without_approvers_shows_the_line_that_releases(desk: Desk, page: Page) -> None:
    shown(desk, page, 0.8, approvers=())
    line = page.locator(".copy").inner_text()
    assert line == "gdshare release prepared --key st-mary.key --outbox outbox"


def test_patches_of_another_result_are_refused(desk: Desk) -> None:
    path = desk.folder / "run" / "nearest.safetensors"
    distilled = read_result(desk.folder / "run")
    other = type(distilled)(distilled.images + 1, distilled.labels, distilled.learning_rates)
    write_nearest(
        desk.folder / "run", NearestPatches(np.zeros((3, 16, 16), np.float32), np.zeros(3)), other
    )
    status, _, err = desk.prepare()
    assert status
    assert f"{path}: is about another result" in err
    assert not desk.prepared.exists()


@pytest.mark.parametrize(
    ("value", "unrelated", "share"),
    [(0.5, 0.5, 0.0), (0.4, 0.5, 0.0), (1.0, 0.5, 1.0), (1.0, 1.0, 1.0), (0.9, 1.0, 0.0)],
)
def test_bar_begins_at_guessing_and_ends_at_one(
    value: float, unrelated: float, share: float
) -> None:
    attack = Attack(name="a/1", figure=value, low=value, high=value, unrelated=unrelated)
    assert place(value, attack) * WIDTH == share * WIDTH
