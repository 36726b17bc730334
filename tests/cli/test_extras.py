"""A core that works without the extras, and one sentence where an extra is missing."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest
from audit_kit import audit_within_bounds
from bundle_run_kit import PASSPHRASE, make_run

from gdshare.cli.main import OWN_COMMANDS
from gdshare.extras import INCLUDES, MODULES, extra_missing

HERE = Path(__file__).parent
DESCRIPTION = HERE.parents[1] / "pyproject.toml"
WALK = HERE.parent / "kits" / "core_walk.py"
EXTRA_MODULES = {module for modules in MODULES.values() for module in modules}
COMMANDS = (*OWN_COMMANDS, *(point.name for point in entry_points(group="gdshare.commands")))
NEEDING = (
    ("films", "phantom --out x"),
    ("films", "outline a.json --film b.png --out c.png"),
    ("films", "label a.csv --out x"),
    ("dicom", "import films --out x"),
    ("pacs", "import --out x --dicomweb https://pacs.example"),
    ("dicom", "review x"),
    ("distill", "distill x --out y"),
    ("privacy", "distill x --out y --epsilon 8"),
    ("distill", "audit x --cohort y"),
    ("distill", "train x --out y"),
    ("distill", "evaluate x y"),
    ("distill", "report x"),
    ("distill", "classify x y.png"),
    ("distill", "announce --out x --trust y --key z --name n --number 1"),
    ("federation", "aggregate --superlink a:1 --trust x --out y"),
    ("federation", "demo --out x"),
    ("federation", "reproduce claim"),
    ("federation", "node n.toml --superlink a:1 --insecure"),
    ("federation", "nodes list --superlink a:1 --trust x"),
)
"""Each extra, and a command that needs it."""


def alone(script, *words, absent=frozenset(EXTRA_MODULES), **environment):
    """Run a script in a process of its own, in which some modules cannot be imported."""
    program = f"import sys\nsys.modules.update(dict.fromkeys({sorted(absent)}))\n{script}"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120", **environment},
    )


COMMAND = "from gdshare.cli.main import main; main(sys.argv[1:])"
SEVERAL = """
import io, json
from contextlib import redirect_stderr, redirect_stdout
from gdshare.cli.main import main

def run(words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            return end.code or 0, out.getvalue(), err.getvalue()

print(json.dumps([run(words.split()) for words in sys.argv[1:]]))
"""


def core(*lines):
    """Status, stdout and stderr of each command line where only the core can be imported."""
    run = alone(SEVERAL, *lines)
    assert run.stderr == ""
    return json.loads(run.stdout)


def test_the_core_walks_from_keys_to_a_verified_bundle_without_any_extra(tmp_path):
    audit_within_bounds(make_run(tmp_path / "run"))
    script = f"import runpy; runpy.run_path({str(WALK)!r}, run_name='__main__')"
    run = alone(script, tmp_path, GDSHARE_PASSPHRASE=PASSPHRASE)
    assert (run.returncode, run.stderr) == (0, "")
    assert "gdshare" in json.loads(run.stdout)


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("keys", {"PIL", "numpy", "safetensors"}),
        ("verify", {"PIL"}),
        ("seal", {"PIL"}),
        ("ledger", {"PIL"}),
        ("approve", set()),
    ],
)
def test_a_command_of_the_core_imports_no_more_than_it_needs(command, unneeded):
    probe = """
from gdshare.cli.main import build_app
build_app(sys.argv[1])
print(*{name.partition(".")[0] for name in sys.modules})
"""
    run = alone(probe, command, absent=())
    assert run.stderr == ""
    imported = set(run.stdout.split())
    assert "gdshare" in imported
    assert not imported & (EXTRA_MODULES | unneeded)


def test_every_command_explains_itself_where_only_the_core_is_installed():
    shown = core("--help", *(f"{command} --help" for command in COMMANDS))
    assert all((status, stderr) == (0, "") for status, _, stderr in shown)
    (_, overview, _), *others = shown
    for command, (_, stdout, _) in zip(COMMANDS, others, strict=True):
        assert f" {command} " in overview
        assert f"gdshare {command} " in stdout


def test_a_missing_extra_is_one_sentence_with_the_remedy():
    for (extra, words), (status, stdout, stderr) in zip(
        NEEDING, core(*(words for _, words in NEEDING)), strict=True
    ):
        assert (status, stdout) == (2, ""), words
        assert re.fullmatch(
            rf"gdshare: this needs .*{MODULES[extra][0]}.*, not installed here; "
            rf"pip install 'gdshare\[{extra}\]'\n",
            stderr,
        ), words


def test_what_turns_out_to_be_missing_only_inside_a_command_is_named_too(tmp_path):
    film = tmp_path / "film.dcm"
    film.write_bytes(bytes(128) + b"DICM")
    (tmp_path / "mask.png").write_bytes(film.read_bytes())
    words = ("outline", tmp_path / "mask.png", "--film", film, "--out", tmp_path / "o.png")
    run = alone(COMMAND, *words, absent=MODULES["dicom"])
    assert run.returncode == 2
    assert re.fullmatch(
        r"gdshare: this needs \w+, .*; pip install 'gdshare\[dicom\]'\n", run.stderr
    )


def test_a_module_that_no_extra_brings_is_not_blamed_on_one():
    assert extra_missing("nonsense.part") is None
    assert extra_missing(None) is None


def test_the_extras_are_those_of_the_package():
    extras = tomllib.loads(DESCRIPTION.read_text())["project"]["optional-dependencies"]
    distribution = {
        module: {name.lower().replace("_", "-") for name in names}
        for module, names in packages_distributions().items()
    }
    for extra, modules in MODULES.items():
        wanted = {re.split(r"[\[>=<]", line)[0] for line in extras[extra]} - {"gdshare"}
        assert all(distribution[module] & wanted for module in modules), extra
        assert len(wanted) == len(modules), extra
        included = [f"gdshare[{','.join(INCLUDES[extra])}]"] if extra in INCLUDES else []
        assert [line for line in extras[extra] if line.startswith("gdshare")] == included


def test_the_readme_names_every_extra_and_every_command_it_adds():
    table = (DESCRIPTION.parent / "README.md").read_text().split("## Install")[1].split("## ")[0]
    rows = dict(re.findall(r"\| `'?\.(?:\[(\w+)\])?'?` \| ([^|]+)", table))
    assert set(rows) == {"", *MODULES, "all"}
    for extra, line in NEEDING:
        assert f"`{line.split()[0]}" in rows[extra], line
    needing = {line.split()[0] for _, line in NEEDING}
    assert set(re.findall(r"`(\w+)`", rows[""])) == set(COMMANDS) - needing
