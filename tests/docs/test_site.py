"""The site: every page is on it, links lead somewhere, and nothing is loaded from elsewhere."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser_kit import Activity
from markdown_it import MarkdownIt
from playwright.sync_api import sync_playwright

import gdshare
from benchmarks.label_page.browser import chromium
from docs.site.pages import REFERENCE, gather, with_links

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
VENDOR = DOCS / "site" / "vendor"
WRITTEN = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^()\s]+)\)")
KINDS = ("h1", "h2", "h3", "img", "li", "pre", "table", "tr")
"""Elements that a page must have as many of on the site as where the repository is."""
LOADING = {"img": "src", "script": "src", "iframe": "src", "source": "src", "embed": "src"}
"""Element -> the attribute that names what it loads."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """What the site is made of."""
    folder = tmp_path_factory.mktemp("site") / "pages"
    gather(folder)
    return folder


@pytest.fixture(scope="module")
def site(pages):
    """The site; a warning of any kind would end the program."""
    folder = pages.parent / "site"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "SITE_PAGES": str(pages), "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return folder


def links(page: Path) -> list[str]:
    """A page's links, without those to other machines."""
    text = re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if not link.startswith("https://")]


def broken(page: Path) -> list[str]:
    """The page's links that lead to no file."""
    targets = [(link, link.partition("#")[0]) for link in links(page)]
    return [link for link, path in targets if path and not (page.parent / path).exists()]


def test_links_lead_to_files_where_the_repository_is():
    assert sum(len(links(page)) for page in WRITTEN) > 100
    assert {page.name: broken(page) for page in WRITTEN if broken(page)} == {}


def test_links_lead_to_files_on_the_site(pages):
    gathered = list(pages.rglob("*.md"))
    assert sum(len(links(page)) for page in gathered) > 100
    assert {page.name: broken(page) for page in gathered if broken(page)} == {}


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("[a](docs/method.md#tone)", "README.md", "[a](method.md#tone)"),
        ("[a](../../README.md)", "docs/adr/0001-x.md", "[a](../index.md)"),
        ("[a](docs/adr)", "README.md", "[a](adr/index.md)"),
        ("[a](../examples/notebooks/x.ipynb)", "docs/library.md", "[a](notebooks/x.ipynb)"),
        ("[a](deploy/superlink-nginx.conf)", "docs/x.md", "[a](deploy/superlink-nginx.conf)"),
        ("![a](docs/figures/gain.svg)", "README.md", "![a](figures/gain.svg)"),
        ("[a](#here) [b](https://example.org/x)", "README.md", None),
        ("[the project](pyproject.toml) and", "CONTRIBUTING.md", "the project and"),
    ],
)
def test_link_follows_its_page_or_becomes_plain_text(text, source, expected):
    assert with_links(text, source) == (text if expected is None else expected)


def test_every_written_page_is_on_the_site(pages):
    assert {path.relative_to(DOCS) for path in DOCS.rglob("*.md")} <= {
        path.relative_to(pages) for path in pages.rglob("*.md")
    }


def test_every_decision_is_listed(pages):
    listed = (pages / "adr" / "index.md").read_text(encoding="utf-8")
    decisions = sorted(path.name for path in (DOCS / "adr").glob("*.md"))
    assert (
        re.findall(r"^\| \d+ \| \[.+\]\((\d{4}[a-z0-9-]+\.md)\) \| \w", listed, re.M) == decisions
    )


def test_reference_has_every_module_of_the_walk():
    described = {module.split(".")[0] for modules in REFERENCE.values() for module in modules}
    named = set(re.findall(r"``([a-z_]+)``", gdshare.__doc__))
    modules = {name for name in named if find_spec(f"gdshare.{name}")}
    assert len(modules) > 20
    # `gdshare COMMAND --help` describes the commands, and the first page what the library offers.
    assert modules - {"cli", "library"} <= described


def test_reference_describes_every_name_that_the_library_offers(site):
    html = (site / "reference" / "index.html").read_text(encoding="utf-8")
    assert len(gdshare.__all__) > 10
    assert [name for name in gdshare.__all__ if f'id="gdshare.{name}"' not in html] == []


def test_reference_names_modules_that_are_there_and_describe_themselves():
    for name in (module for modules in REFERENCE.values() for module in modules):
        spec = find_spec(f"gdshare.{name}")
        assert spec, name
        assert ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))), name


@pytest.mark.parametrize("guide", sorted(DOCS.glob("guide-*.md")), ids=lambda path: path.stem)
def test_every_guide_has_a_picture(guide):
    pictures = re.findall(r"^!\[.{20,}\]\((figures/\S+)\)$", guide.read_text("utf-8"), re.M)
    assert pictures
    assert all((DOCS / picture).is_file() for picture in pictures)


def test_foreign_script_is_the_one_that_was_taken_in():
    sums = dict(line.split("  ")[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(VENDOR).as_posix(): path for path in VENDOR.rglob("*/*")}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert digests == sums


class _Loaded(HTMLParser):
    """Addresses that a page loads, without those that it only links to."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        address = values.get(LOADING.get(tag, ""))
        if tag == "link" and values.get("rel") != "canonical":
            address = values.get("href")
        if address:
            self.addresses.append(address)


def test_no_page_names_anything_of_another_machine_to_load(site):
    html = list(site.rglob("*.html"))
    assert len(html) > 60
    for page in html:
        parser = _Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert len(parser.addresses) > 3, page
        assert [name for name in parser.addresses if re.match(r"(https?:)?//", name)] == [], page
    sheets = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheets) == []


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium; `make system`")
def test_site_opens_from_its_folder_is_searched_and_asks_no_other_machine(site):
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        context = browser.new_context()
        activity, page = Activity.of(context), context.new_page()
        for name in ("guide-officer", "adr/index", "reference/bundles", "results", "index"):
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_function("Array.from(document.images).every(image => image.complete)")
            broken_images = (
                "Array.from(document.images).filter(image => !image.naturalWidth).length"
            )
            assert page.evaluate(broken_images) == 0, name
        page.locator(".md-search__input").fill("withdrawal")
        page.locator(".md-search-result__item").first.wait_for()
        browser.close()
    assert len(activity.requests) > 20
    assert [address for address in activity.requests if not address.startswith("file:")] == []
    assert activity.messages == []


def test_page_has_the_same_lists_tables_and_pictures_as_where_the_repository_is(pages, site):
    """Python-Markdown and CommonMark, which people read the repository with, agree on them."""
    for path in (path for path in pages.rglob("*.md") if path.parent.name != "reference"):
        html = (site / path.relative_to(pages).with_suffix(".html")).read_text(encoding="utf-8")
        article = html.split("<article", 1)[1].split("</article>")[0]
        plain = MarkdownIt().enable("table").render(path.read_text(encoding="utf-8"))
        on_site, there = (
            Counter(re.findall(rf"<({'|'.join(KINDS)})\b", text)) for text in (article, plain)
        )
        assert on_site == there, path.name
