"""``gdshare label``: windows that fit the films, or a refusal that says which would."""

import csv
import json

import numpy as np
import pytest
from command_kit import gdshare
from PIL import Image
from store_kit import small_store, stored

from gdshare.cli.label import _measure_store
from gdshare.cohort import fitting_geometry, open_cohort
from gdshare.errors import FilmError
from gdshare.patches import Geometry
from gdshare.protocol import Protocol

SPLIT = ("--split", "0.34,0.33,0.33")


def write_table(folder, sides, spacings=None):
    """Films of these sides, each with an organ over a third of its width and height."""
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["patient", "image", "mask", "diagnosis", "spacing_mm"])
        for number, side in enumerate(sides):
            mask = np.zeros((side, side), np.uint8)
            mask[side // 3 : 2 * side // 3, side // 3 : 2 * side // 3] = 255
            Image.fromarray(mask).save(folder / f"{number}-mask.png")
            Image.fromarray(mask // 2 + 9 + number).save(folder / f"{number}.png")
            spacing = spacings[number] if spacings else ""
            row = [number, f"{number}.png", f"{number}-mask.png", "negative", spacing]
            table.writerow([*row[:3], ("negative", "positive")[number % 2], spacing])
    return folder / "labels.csv"


def test_windows_too_large_for_the_films_are_refused_with_those_that_fit(tmp_path):
    table = write_table(tmp_path / "films", [512] * 6)
    ended = gdshare("label", table, "--out", tmp_path / "cohort", *SPLIT)
    assert ended.status == 2
    assert "no training window of class I, N, P and no validation window of class" in ended.err
    assert "films are 512 px: the source's windows would be --patch 75 --stride 13" in ended.err
    assert ended.out == ""
    assert not (tmp_path / "cohort").exists()
    fitting = ("--patch", 75, "--stride", 13)
    gdshare("label", table, "--out", tmp_path / "cohort", *SPLIT, *fitting, check=True)


def test_film_too_small_for_a_window_is_refused_with_one_that_fits(tmp_path):
    table = write_table(tmp_path / "films", [256] * 6)
    ended = gdshare("label", table, "--out", tmp_path / "cohort", *SPLIT)
    assert ended.status == 2
    assert "0.png: is too small for a window of 299 px" in ended.err
    assert "--patch 37 --stride 7" in ended.err


def test_patch_auto_takes_the_sources_share_of_the_films(tmp_path):
    table = write_table(tmp_path / "films", [512] * 6)
    auto = ("--patch", "auto", *SPLIT)
    ended = gdshare("label", table, "--out", tmp_path / "cohort", *auto, check=True)
    assert "--patch 75 --stride 13 --side 32" in ended.out
    index = json.loads((tmp_path / "cohort" / "cohort.json").read_text(encoding="utf-8"))
    assert index["protocol"] == Protocol(patch=75, stride=13).model_dump()
    told = json.loads(gdshare("label", table, "--out", tmp_path / "c", *auto, "--json").out)
    assert told["protocol"]["patch"] == 75


def test_tone_is_none_if_not_given_and_changes_the_cohorts_patches(tmp_path):
    table = write_table(tmp_path / "films", [512] * 6)
    patches = []
    for tone, option in (("none", ()), ("levels", ("--tone", "levels"))):
        words = ("--patch", 75, "--stride", 13, *SPLIT, *option)
        ended = gdshare("label", table, "--out", tmp_path / tone, *words, check=True)
        assert f"--side 32 --tone {tone} (every hospital" in ended.out
        assert open_cohort(tmp_path / tone).protocol.tone == tone
        patches.append(np.load(tmp_path / tone / "train.patches.npy"))
    assert (patches[0] != patches[1]).any()


def test_unknown_tone_is_refused(tmp_path):
    ended = gdshare("label", tmp_path, "--out", tmp_path / "cohort", "--tone", "louder")
    assert ended.status == 2
    assert "--tone" in ended.err


@pytest.mark.parametrize(
    ("options", "patch", "stride"),
    [
        (("--patch", "auto", "--stride", "40"), 75, 40),
        (("--patch", "60", "--stride", "auto"), 60, 13),
        (("--patch", "60"), 60, 50),
    ],
)
def test_what_is_given_in_pixels_is_kept(tmp_path, options, patch, stride):
    table = write_table(tmp_path / "films", [512] * 6)
    ended = gdshare("label", table, "--out", tmp_path / "c", *options, *SPLIT, "--json", check=True)
    protocol = json.loads(ended.out)["protocol"]
    assert (protocol["patch"], protocol["stride"]) == (patch, stride)


def test_length_that_is_no_number_is_refused(tmp_path):
    ended = gdshare("label", "none.csv", "--out", tmp_path / "c", "--patch", "large")
    assert ended.status == 2
    assert "--patch large: not a number of pixels; give a whole number, or auto" in ended.err


def test_films_of_mixed_size_give_one_geometry_whatever_their_order(tmp_path):
    sides = [512, 1024, 512, 768, 1024, 640]
    forward = write_table(tmp_path / "forward", sides)
    backward = write_table(tmp_path / "backward", sides[::-1])
    expected = Geometry(patch=93, stride=16)  # of 640 px, the lower median
    assert fitting_geometry(forward, Protocol()) == expected
    assert fitting_geometry(backward, Protocol()) == expected


def test_known_pixel_size_is_measured_in_the_protocols_pixels(tmp_path):
    table = write_table(tmp_path / "films", [512, 1024], spacings=[0.4, 0.2])
    geometry = fitting_geometry(table, Protocol(resample_mm=0.1))
    assert geometry == Geometry(patch=299, stride=50)  # both films are 2048 pixels of 0.1 mm


def test_unknown_pixel_size_is_refused_where_the_protocol_sets_one(tmp_path):
    table = write_table(tmp_path / "films", [512])
    with pytest.raises(FilmError, match="no known pixel size"):
        fitting_geometry(table, Protocol(resample_mm=0.1))


def test_films_to_be_tested_on_only_need_no_window_of_a_class(tmp_path):
    table = write_table(tmp_path / "films", [512] * 2)
    lines = table.read_text(encoding="utf-8").splitlines()
    tested = [f"{lines[0]},split", *(f"{line},test" for line in lines[1:])]
    table.write_text("\n".join(tested) + "\n", encoding="utf-8")
    ended = gdshare("label", table, "--out", tmp_path / "cohort", check=True)
    assert "no outlined film of training and validation patients" in ended.err


def test_page_measures_the_films_of_its_store(tmp_path):
    films = (stored(0, 256), stored(1, 512), stored(2, 2048, state="rejected"))
    store = small_store(tmp_path / "store", *films)
    assert _measure_store(store, Protocol()) == Geometry(patch=37, stride=7)


def test_films_that_use_little_of_the_range_are_warned_about(tmp_path):
    table = write_table(tmp_path / "films", [128] * 6)
    dark = np.linspace(0, 4095, 128 * 128).reshape(128, 128).astype(np.uint16)
    Image.fromarray(dark).save(tmp_path / "films" / "3.png")
    options = ("--patch", "auto", *SPLIT)
    ended = gdshare("label", table, "--out", tmp_path / "cohort", *options, check=True)
    (warning,) = [line for line in ended.err.splitlines() if "range from black" in line]
    assert "3.png uses 6.1% of the range from black to white" in warning
