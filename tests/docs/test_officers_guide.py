"""The officer's guide fits on two printed pages, with the approval screen on one of them."""

import re
import shutil
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import sync_playwright

from benchmarks.label_page.browser import chromium

DOCS = Path(__file__).parents[2] / "docs"
PRINT = """
body { font: 10pt/1.35 sans-serif; margin: 0; } h1 { font-size: 15pt; margin: 0 0 4pt; }
h2 { font-size: 11.5pt; margin: 8pt 0 2pt; } p, ol, ul, table, pre { margin: 3pt 0; }
td, th { border-bottom: .5pt solid #999; padding: 1pt 6pt 1pt 0; text-align: left; }
pre, code { font-size: 8.5pt; } img { max-height: 7cm; }
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium; `make system`")
def test_guide_is_two_printed_pages_and_shows_the_approval_screen():
    text = (DOCS / "guide-officer.md").read_text(encoding="utf-8")
    assert "](figures/release-page.png)" in text
    body = MarkdownIt().enable("table").render(text)
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page()
        page.goto((DOCS / "guide-officer.md").as_uri())  # so that its figures are found
        page.set_content(f"<base href='{DOCS.as_uri()}/'><style>{PRINT}</style>{body}")
        page.wait_for_function("Array.from(document.images).every(one => one.complete)")
        assert page.evaluate("document.images[0].naturalWidth") > 0
        margin = dict.fromkeys(("top", "bottom", "left", "right"), "15mm")
        printed = page.pdf(format="A4", margin=margin)
        browser.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2
