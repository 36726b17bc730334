import csv
import json
import shutil

import pytest
import torch
from command_kit import gdshare
from film_kit import PROTOCOL, write_films
from PIL import Image

from gdshare.model import Model, save_model
from gdshare.networks import build, draw
from gdshare.report import vote_job


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Films, among them one in a folder of its own and what is no film; and an untrained model."""
    folder = tmp_path_factory.mktemp("classify")
    write_films(folder / "all")
    (folder / "films" / "more").mkdir(parents=True)
    for number, place in (("1", "films"), ("2", "films"), ("3", "films/more")):
        shutil.copy(folder / "all" / f"{number}.png", folder / place)
    (folder / "films" / "notes.txt").write_text("no film")
    parameters = draw("convnet", build("convnet", 16), torch.Generator().manual_seed(0))
    parameters[list(parameters)[-1]] = torch.tensor([0.0, 0.1, -0.1])
    save_model(folder / "model", Model("convnet", PROTOCOL, (parameters,)), {"threshold": 0.4})
    return folder


def test_a_folder_is_classified_film_by_film_and_what_is_none_is_refused(folder):
    ended = gdshare("classify", folder / "model", folder / "films")
    assert ended.status == 2
    lines = ended.out.splitlines()
    assert lines[0] == "ε = 0.40"
    assert [line.split()[-1].rsplit("/films/")[1] for line in lines[2:]] == [
        "1.png",
        "2.png",
        "more/3.png",
    ]
    assert "notes.txt: is not a PNG, TIFF or DICOM image" in ended.err
    assert "1 of 4 files refused" in ended.err


def test_a_map_folder_has_a_picture_and_the_votes_of_every_film(folder, tmp_path):
    words = ("classify", folder / "model", folder / "films", "--map", tmp_path, "--json")
    told = json.loads(gdshare(*words).out)
    with (tmp_path / "films.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["film"]: row for row in csv.DictReader(stream)}
    assert list(rows) == ["1.png", "2.png", "more/3.png"]
    for own, (name, row) in zip(told, rows.items(), strict=True):
        assert own["votes"] == {"I": int(row["i"]), "N": int(row["n"]), "P": int(row["p"])}
        record = json.loads((tmp_path / f"{name}.votes.json").read_text())
        letters = "".join("".join(network) for network in record["called"])
        assert {c: letters.count(c) for c in "INP"} == own["votes"]
        with Image.open(tmp_path / f"{name}.votes.png") as picture:
            assert picture.mode == "RGB"


def test_films_that_the_folder_has_are_not_classified_again(folder, tmp_path, monkeypatch):
    words = ("classify", folder / "model", folder / "films/1.png", "--map", tmp_path)
    first = gdshare(*words, check=True)
    monkeypatch.setattr(vote_job, "vote_map", lambda *films: pytest.fail("classified again"))
    assert gdshare(*words, check=True).out == first.out
    lower = gdshare(*words, "--threshold", 0.0, check=True)
    assert "positive" in lower.out
    record = json.loads((tmp_path / "1.png.votes.json").read_text())
    assert (record["threshold"], record["verdict"]) == (0.0, "positive")


def test_a_run_that_is_stopped_leaves_no_table_of_an_earlier_one(folder, tmp_path, monkeypatch):
    words = ("classify", folder / "model", folder / "films/1.png", "--map", tmp_path)
    gdshare(*words, check=True)
    assert (tmp_path / "films.csv").exists()

    def stop(*films):
        raise KeyboardInterrupt

    monkeypatch.setattr(vote_job, "vote_map", stop)
    assert gdshare(*words, "--stride", 16).status == 130
    assert not (tmp_path / "films.csv").exists()


def test_a_folder_without_any_film_still_has_its_empty_table(folder, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "in" / name).write_text("no film")
    ended = gdshare("classify", folder / "model", tmp_path / "in", "--map", tmp_path / "out")
    assert ended.status == 2
    assert "2 of 2 files refused" in ended.err
    assert (tmp_path / "out" / "films.csv").read_text().count("\n") == 1


def test_another_stride_film_or_model_is_classified_anew(folder, tmp_path):
    film = tmp_path / "1.png"
    shutil.copy(folder / "films/1.png", film)
    words = ("classify", folder / "model", film, "--map", tmp_path / "out", "--json")
    whole = json.loads(gdshare(*words, check=True).out)[0]["votes"]
    coarse = json.loads(gdshare(*words, "--stride", 16, check=True).out)[0]["votes"]
    assert sum(coarse.values()) == 16
    assert sum(whole.values()) == 49
    shutil.copy(folder / "films/2.png", film)
    before = (tmp_path / "out" / "1.png.votes.json").read_text()
    gdshare(*words, "--stride", 16, check=True)
    assert (tmp_path / "out" / "1.png.votes.json").read_text() != before


def test_the_maps_in_a_folder_of_films_are_no_films(folder, tmp_path):
    shutil.copytree(folder / "films", tmp_path / "films")
    words = ("classify", folder / "model", tmp_path / "films", "--map", tmp_path / "films" / "maps")
    first, again = gdshare(*words), gdshare(*words)
    assert first.out == again.out


def test_a_link_in_a_folder_is_not_followed(folder, tmp_path):
    (tmp_path / "link.png").symlink_to(folder / "films/1.png")
    shutil.copy(folder / "films/2.png", tmp_path)
    ended = gdshare("classify", folder / "model", tmp_path, check=True)
    assert "link.png: a symbolic link, not followed" in ended.err
    assert "link.png" not in ended.out


def test_two_films_of_one_name_are_refused(folder, tmp_path):
    shutil.copy(folder / "films/2.png", tmp_path / "1.png")
    ended = gdshare("classify", folder / "model", folder / "films/1.png", tmp_path / "1.png")
    assert ended.status == 2
    assert "two films are called 1.png" in ended.err


def test_an_empty_folder_is_refused(folder, tmp_path):
    ended = gdshare("classify", folder / "model", tmp_path)
    assert ended.status == 2
    assert "no file in it" in ended.err


def test_several_processes_classify_as_one_does(folder, tmp_path):
    """What they log comes out as well, and their pictures are the same, byte for byte."""
    Image.new("L", (64, 64), 100).save(tmp_path / "gray.png")
    films = (folder / "films", tmp_path / "gray.png")
    words = ("classify", folder / "model", *films, "--map")
    alone = gdshare(*words, tmp_path / "alone", "--workers", 1)
    both = gdshare(*words, tmp_path / "both", "--workers", 2)
    assert both.status == alone.status == 2
    assert both.out == alone.out
    assert "notes.txt: is not a PNG, TIFF or DICOM image" in both.err
    assert both.err.count("gray.png uses 0.0% of the range from black to white") == 1
    written = sorted(path for path in (tmp_path / "alone").rglob("*") if path.is_file())
    assert len(written) == 9
    for path in written:
        twin = tmp_path / "both" / path.relative_to(tmp_path / "alone")
        assert twin.read_bytes() == path.read_bytes()
