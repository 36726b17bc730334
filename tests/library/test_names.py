"""``import gdshare`` costs nothing, and every public name is where it says."""

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from bundle_factory import NOW, key, sound

import gdshare
from gdshare.extras import MODULES
from gdshare.signing import public_pem

EXTRAS = sorted({module for modules in MODULES.values() for module in modules})
CORE = {
    *("DistilledImages", "Film", "GdshareError", "Protocol", "Settings"),
    *("load_bundle", "load_images", "read_film"),
}
"""They are there in an installation of the core; the others say which extra they miss."""


def alone(program, absent=()):
    """What a program prints, in a process where some modules cannot be imported."""
    hidden = f"import sys\nsys.modules.update(dict.fromkeys({list(absent)}))\n"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", hidden + program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    return run.stdout


def test_importing_the_package_imports_nothing_else_of_it():
    program = "import gdshare, sys\nprint(*[n for n in sys.modules if n.startswith('gdshare')])"
    assert alone(program) == "gdshare\n"
    program = "before = set(sys.modules)\nimport gdshare\nprint(*set(sys.modules) - before)"
    assert {"numpy", "pydantic", "torch"}.isdisjoint(alone(program).split())


@pytest.mark.parametrize("name", gdshare.__all__)
def test_every_name_is_the_one_of_its_module_and_explains_itself(name):
    value = getattr(gdshare, name)
    assert value is getattr(import_module(f"gdshare.{gdshare._MODULES[name]}"), name)
    assert inspect.getdoc(value)
    assert name in dir(gdshare)


def test_a_type_checker_sees_the_same_names_from_the_same_modules():
    tree = ast.parse(Path(gdshare.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    seen = {
        alias.name: node.module.removeprefix("gdshare.")
        for node in block.body
        for alias in node.names
    }
    assert seen == gdshare._MODULES
    assert sorted(seen) == gdshare.__all__


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(gdshare, "nonsense")
    with pytest.raises(ImportError):
        exec("from gdshare import nonsense")


def test_the_core_verifies_and_reads_a_bundle(tmp_path):
    for name, content in sound().items():
        (tmp_path / name).write_bytes(content)
    public = tmp_path.parent / "st-mary.pub"
    public.write_bytes(public_pem(key().public_key()))
    program = f"""
import gdshare
from datetime import datetime
from pathlib import Path
now = datetime.fromisoformat({NOW.isoformat()!r})
print(gdshare.load_bundle(Path({str(tmp_path)!r}), Path({str(public)!r}), now=now))
"""
    assert alone(program, EXTRAS) == (
        "<DistilledImages st-mary: 3 of 16 x 16 px, classes I, N, P, signature verified>\n"
    )


def test_the_core_names_the_extra_of_everything_else():
    program = f"""
import gdshare
from gdshare.errors import UsageError
for name in gdshare.__all__:
    try:
        getattr(gdshare, name)
    except UsageError as error:
        print(name, error)
    else:
        assert name in {CORE | {"distil_cohort"}}, name
"""
    lines = alone(program, EXTRAS).splitlines()
    assert {line.split()[0] for line in lines} == set(gdshare.__all__) - CORE - {"distil_cohort"}
    assert all("pip install 'gdshare[" in line for line in lines)
