"""Each notebook runs from top to bottom; what is committed has no outputs."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
PNEUMONIA = FOLDER.parents[2] / "shared" / "data" / "medmnist" / "pneumoniamnist.npz"


def run(name, folder):
    """What the cells of a notebook print and return, as text, in their order."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(FOLDER / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [
        "".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Nothing of the kernel is written into the user's home, and films go with the test."""
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_committed_has_no_outputs(name):
    cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}


def test_three_phantom_hospitals_teach_one_model(tmp_path):
    printed = run("three_hospitals.ipynb", tmp_path)
    (table,) = (text for text in printed if "pooled" in text)
    means = {line.split()[0]: float(line.split()[-1]) for line in table.splitlines()}
    assert set(means) == {"north", "south", "east", "pooled"}
    assert means["pooled"] > 0.85
    assert any("membership-loss/1" in text and "nearest-patch/1" in text for text in printed)


@pytest.mark.skipif(not PNEUMONIA.is_file(), reason=f"PneumoniaMNIST is not at {PNEUMONIA}")
def test_two_images_stand_for_pneumonia_mnist(tmp_path, monkeypatch):
    monkeypatch.setenv("PNEUMONIA_MNIST", str(PNEUMONIA))
    printed = run("pneumonia_mnist.ipynb", tmp_path)
    (line,) = (text for text in printed if "two distilled images" in text)
    distilled, real = (float(part.split()[-1]) for part in line.strip().split(","))
    assert distilled > 0.8
    assert distilled > real + 0.05
    assert "'images': (2, 1, 28, 28)" in printed[-1]
