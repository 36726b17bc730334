"""Gathers the pages of the documentation site: ``python -m docs.site.pages FOLDER``.

The pages are written to be read on their own, where the repository is: README.md, docs/ and what
else stands beside them. Here they are copied into one folder, for a program that makes a site of it
(mkdocs.yml): README.md becomes the front page, links follow, and those to files that are not on the
site become plain text. The list of decisions, and the pages of the library's reference, are made
from the files themselves.
"""

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[2]
MOVED: Mapping[str, str] = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE.txt",
    "docs/adr": "adr/index.md",
    "examples/notebooks": "library.md",
    "gdshare/__init__.py": "reference/index.md",
}
"""File or folder of the repository -> what stands for it on the site."""
FOLDERS = ("docs/", "examples/")
"""Folders of the repository whose contents lie at the site's top."""
COPIED = (".json", ".nft", ".conf", ".service", ".png", ".svg", ".md", ".js", ".ipynb", "/LICENSE")
"""How the names of the files end that are taken from these."""
REFERENCE: Mapping[str, tuple[str, ...]] = {
    "films": ("films", "store", "tone", "patches", "labels", "cohort", "protocol"),
    "distillation": (
        *("method", "distilled", "distill.run_folder", "distill.loop", "training", "last_layer"),
        *("networks", "scattering", "patch_tensors", "seeding", "audit"),
        *("private", "private.run", "private.account", "exact_noise"),
    ),
    "bundles": ("bundle", "signing", "release", "ledger"),
    "models": (
        *("pooling", "contributions", "model", "vote", "metrics", "evaluation", "proportions"),
        "messages",
    ),
    "edges": ("errors", "plain_files", "storage", "lock", "progress", "config", "next_steps"),
    "pages": ("report", "report.page", "local_page", "label_page", "approval_page"),
}
"""Page of the reference -> its modules, in the order the data takes."""
TITLES: Mapping[str, str] = {
    "films": "Films, patches and cohorts",
    "distillation": "Distillation, training and attacks",
    "bundles": "Bundles, signatures and release",
    "models": "Models, votes and counts",
    "edges": "Errors, files and settings",
    "pages": "Pages",
}
LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")


def on_site(path: str) -> str | None:
    """Where a file or folder of the repository is on the site; None if it is not.

    Args:
        path: relative to the repository, with slashes.
    """
    if path in MOVED:
        return MOVED[path]
    folder, _, inside = path.partition("/")
    return inside if f"{folder}/" in FOLDERS and inside.endswith(COPIED) else None


def with_links(text: str, source: str) -> str:
    """A page's text, with its links as the site needs them.

    Args:
        text: Markdown.
        source: the page, relative to the repository.
    """
    here = PurePosixPath(on_site(source) or source).parent

    def link(match: re.Match[str]) -> str:
        words, target = match.groups()
        if target.startswith(("https://", "#")):
            return match[0]
        path, hash_mark, anchor = target.partition("#")
        there = on_site(normpath(PurePosixPath(source).parent / path))
        if there is None:
            return words
        return f"[{words}]({relpath(there, here)}{hash_mark}{anchor})"

    return LINK.sub(link, text)


def decisions() -> str:
    """The list of all decisions, by number."""
    rows = []
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        heading, status, *_ = path.read_text(encoding="utf-8").split("\n\n", 2)
        number, title = heading.removeprefix("# ").split(". ", 1)
        state = re.split(r"[;:.] ", " ".join(status.removeprefix("Status: ").split()))[0]
        rows.append(f"| {number} | [{title}]({path.name}) | {state.removesuffix('.')} |")
    head = "| | decision | status |\n|---|---|---|\n"
    return f"# Decisions\n\nWhy things are as they are.\n\n{head}" + "\n".join(rows) + "\n"


def overview() -> str:
    """The first page of the reference: the walk, and what ``import gdshare`` offers."""
    pages = "\n".join(f"- [{title}]({name}.md)" for name, title in TITLES.items())
    return f"# Reference\n\nThe modules behind what is described below:\n\n{pages}\n\n::: gdshare\n"


def reference(name: str) -> str:
    """A page of the reference, which the site's program fills from docstrings."""
    modules = "\n".join(f"::: gdshare.{module}\n" for module in REFERENCE[name])
    return f"# {TITLES[name]}\n\n{modules}"


def made() -> Mapping[str, str]:
    """Pages that nobody writes: path on the site -> text."""
    pages = {f"reference/{name}.md": reference(name) for name in REFERENCE}
    return {"adr/index.md": decisions(), "reference/index.md": overview(), **pages}


def gather(folder: Path) -> None:
    """Write every page and picture of the site.

    Args:
        folder: a new one, so that nothing of an earlier site is left in it.

    Raises:
        FileExistsError: it is there already.
    """
    folder.mkdir(parents=True)
    listed = [ROOT / path for path in MOVED if (ROOT / path).suffix != ".py"]
    below = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    for path in filter(Path.is_file, (*listed, *below)):
        source = path.relative_to(ROOT).as_posix()
        there = on_site(source)
        if there is None:
            continue
        target = folder / there
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text = with_links(path.read_text(encoding="utf-8"), source)
            target.write_text(text, encoding="utf-8")
        else:
            shutil.copyfile(path, target)
    for there, text in made().items():
        target = folder / there
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
