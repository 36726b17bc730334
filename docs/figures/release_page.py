"""The officer's guide's picture: ``python -m docs.figures.release_page RUN PNG``.

RUN is a finished run that was audited, such as ``demo-out/hospitals/north/run`` of ``gdshare demo``
(SYNTHETIC).
"""

import io
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

from benchmarks.label_page.browser import chromium
from gdshare.audit import read_attacks
from gdshare.audit.nearest_patches import read_nearest
from gdshare.bundle import describe_run
from gdshare.distill.run_folder import read_record, read_result
from gdshare.distill.score_record import read_score
from gdshare.release import Policy, prepare, prepared_from
from gdshare.release.policy import BundleRules, ReleaseRules, terms_of
from gdshare.release.prepared import PAGE
from gdshare.report.preview import render_preview
from gdshare.report.release_page import release_pages
from gdshare.storage import write_bytes

VIEW: ViewportSize = {"width": 1000, "height": 1420}
COLOURS = 128


def screenshot(run: Path) -> bytes:
    """The top of the page in real Chromium, as a PNG of few colours."""
    rules = BundleRules(purpose="the stomach study of 2026", recipients=("tokyo",))
    who = ReleaseRules(approvals=1, approvers=("9f86" * 16,), one_shot=False)
    limits = {"membership-loss/1": 0.8, "nearest-patch/1": 0.99}
    policy = Policy(bundle=rules, attacks=limits, release=who)
    distilled = read_result(run)
    manifest = describe_run(
        read_record(run),
        site="st-mary",
        sequence=1,
        now=datetime.now(UTC),
        lifetime=timedelta(days=365),
        terms=terms_of(policy, ()),
        attacks=read_attacks(run, distilled),
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "prepared"
        prepared = prepared_from(
            path,
            manifest,
            distilled,
            read_score(run, distilled),
            read_nearest(run, distilled),
            render_preview,
        )
        prepare(prepared, lambda content: release_pages(content, policy))
        browser = chromium(playwright)
        page = browser.new_page(viewport=VIEW)
        page.goto((prepared.path / PAGE).as_uri())
        shot = page.screenshot()
        browser.close()
    few, stream = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS), io.BytesIO()
    few.save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    write_bytes(Path(sys.argv[2]), screenshot(Path(sys.argv[1])))
