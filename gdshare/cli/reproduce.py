"""``gdshare reproduce``: the tables of a study, from its archive.

The studies are research and not part of the package: they and their archives lie beside gdshare in
a checkout, and run in a process of their own, so that gdshare imports nothing of them.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

import gdshare
from gdshare.child_environment import child_environment
from gdshare.cli.terminal import AsJson, print_json, print_line, print_table, print_text
from gdshare.errors import RunError, UsageError
from gdshare.extras import require_extra
from gdshare.metrics import SOURCE_TABLE

CHECKOUT = Path(gdshare.__file__).resolve().parents[1]
DATA = Path("..", "shared", "data")
SOURCE = "The source (Li et al. 2020), on other data, for orientation only"
COLUMNS = ("method", "images", "Sen", "Spe", "HM")


def reproduce(
    study: Annotated[
        str | None, typer.Argument(help="Its name; without one they are listed.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds tb_cxr, whose diagnoses no archive keeps. Default: "
            f"{DATA}, seen from the checkout."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a study's tables again from its archive, and beside them those of the source.

    Nothing is measured again; python -m studies STUDY does that. Needs a checkout of gdshare: the
    installed package holds no studies.
    """
    studies = archived_studies(CHECKOUT)
    if study is None:
        if as_json:
            return print_json({"studies": studies})
        for name, question in studies.items():
            print_line(f"{name:<{max(map(len, studies))}}  {question}")
        return None
    if study not in studies:
        what = "is no study that has an archive"
        raise UsageError(what, f"{study!r:.50}", f"choose from {', '.join(studies)}")
    require_extra("federation")  # the rivals' rounds are Flower's
    films = (CHECKOUT / DATA if data is None else data).resolve()
    if not (films / "tb_cxr").is_dir():
        what = "holds no tb_cxr, and archives keep no diagnoses"
        raise UsageError(what, films, "give the folder that holds it by --data")
    text, figures = _printed(study, films)
    if as_json:
        source = [dict(zip(COLUMNS, row, strict=True)) for row in SOURCE_TABLE]
        return print_json({"study": study, **figures, "source": {"title": SOURCE, "rows": source}})
    print_text(text)
    if SOURCE not in text:
        print_text("\n")
        rows = [(own, images, *(f"{f:.3f}" for f in three)) for own, images, *three in SOURCE_TABLE]
        print_table(SOURCE, COLUMNS, rows)
    return None


def archived_studies(checkout: Path) -> dict[str, str]:
    """Name -> question of every study that has an archive.

    Raises:
        UsageError: there are no studies here.
    """
    folder = checkout / "studies"
    names = sorted(path.stem for path in (folder / "archive").glob("*.json"))
    if not names or not (folder / "__main__.py").is_file():
        raise UsageError(
            "the studies are not part of the installed package",
            remedy="get gdshare's repository, and run this there after pip install -e '.[all]'",
        )
    return {name: _question(folder, name) for name in names}


def _question(folder: Path, name: str) -> str:
    """The first sentence of a study's module."""
    single, package = folder / f"{name}.py", folder / name / "__init__.py"
    path = single if single.is_file() else package
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").replace("``", "")


def _printed(study: str, data: Path) -> tuple[str, dict[str, object]]:
    """What a study prints from its archive, and its figures.

    Raises:
        RunError: it cannot be printed; the message is the study's own.
    """
    with TemporaryDirectory() as aside:
        figures = Path(aside) / "figures.json"
        words = ["--only", "report", "--archive", "studies/archive", "--data", str(data)]
        words += ["--out", str(Path(aside) / "out"), "--json", str(figures)]
        ended = subprocess.run(
            [sys.executable, "-m", "studies", study, *words],
            cwd=CHECKOUT,
            capture_output=True,
            encoding="utf-8",
            env=child_environment(PYTHONIOENCODING="utf-8", PYTHONPATH=os.pathsep.join(sys.path)),
            check=False,
        )
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1:] or ["it says nothing"]
            raise RunError(f"cannot be printed ({last[0]})", f"studies {study}")
        return ended.stdout, json.loads(figures.read_bytes())


def register(app: typer.Typer) -> None:
    """Add ``reproduce`` to the app."""
    app.command()(reproduce)
