import json
import sys

import numpy as np
import pytest

from benchmarks.burned_in import __main__ as command
from benchmarks.burned_in import trial
from benchmarks.burned_in.films import CHOSEN_ON, REPORTED_ON, phantom_ground
from benchmarks.burned_in.tables import as_data, text
from benchmarks.burned_in.tally import Share, Sought, clean, covered, found, recall
from benchmarks.burned_in.trial import FULL, QUICK, Plan, look, written
from benchmarks.burned_in.writing import CELLS, Cell, Line, line_mask, touch, write_line
from gdshare.films.box import Box

TINY = Plan(films=2, lines=3, sides=(256,))
GRAY = np.full((200, 400), 120, np.uint8)


def draw(seed=0):
    return np.random.default_rng(seed)


def everything(pixels):
    return [Box(0, 0, pixels.shape[1], pixels.shape[0])]


@pytest.mark.parametrize("ink", ["light", "dark"])
@pytest.mark.parametrize("contrast", [0.1, 0.2, 0.4])
def test_ink_is_as_far_from_the_ground_as_asked(contrast, ink):
    pixels, line = write_line(GRAY, Cell(16, contrast, ink, False), [], draw())
    changed = pixels != GRAY
    assert changed.any()
    far = np.abs(pixels.astype(int) - 120).max()
    assert far == pytest.approx(255 * contrast, abs=1)
    assert ((pixels[changed] > 120) == (ink == "light")).all()
    rows, columns = np.nonzero(changed)
    assert (line.box.top, line.box.left) == (rows.min(), columns.min())
    assert (line.box.bottom, line.box.right) == (rows.max() + 1, columns.max() + 1)
    assert (GRAY == 120).all()


@pytest.mark.parametrize(("ink", "plate"), [("light", 0), ("dark", 255)])
def test_full_contrast_is_on_a_plate_of_its_own(ink, plate):
    pixels, line = write_line(GRAY, Cell(16, 1.0, ink, False), [], draw())
    box = line.box
    assert pixels[box.top - 1, box.left - 1] == plate
    assert (pixels[box.top : box.bottom, box.left : box.right] == 255 - plate).any()


def test_where_the_range_leaves_no_room_nothing_is_written():
    assert write_line(np.full_like(GRAY, 250), Cell(16, 0.4, "light", False), [], draw()) is None
    assert write_line(GRAY, Cell(16, 0.4, "light", False), everything(GRAY), draw()) is None
    assert write_line(GRAY[:9, :9], Cell(40, 0.4, "light", False), [], draw()) is None


@pytest.mark.parametrize("height", [8, 16, 40])
def test_letters_are_as_high_as_asked(height):
    for seed in range(8):
        ink = line_mask("HEH", Cell(height, 0.4, "light", False), draw(seed))
        assert abs(ink.shape[0] - height) <= 2
        turned = line_mask("HEH", Cell(height, 0.4, "light", True), draw(seed))
        np.testing.assert_array_equal(np.rot90(turned, -1), ink)


def test_lines_on_one_film_do_not_touch_and_come_out_the_same_again():
    ground = phantom_ground(0, 1, 512)
    pixels, lines = written(ground, CELLS[:6])
    assert len(lines) >= 4
    boxes = [line.box for line in lines]
    assert not any(touch(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    again, same = written(ground, CELLS[:6])
    np.testing.assert_array_equal(again, pixels)
    assert same == lines


def test_half_of_a_line_is_enough_and_less_is_not():
    line = Line(CELLS[0], Box(10, 10, 30, 20))
    assert found(line, covered([Box(0, 0, 20, 50)], (60, 60)))
    assert not found(line, covered([Box(0, 0, 19, 50)], (60, 60)))
    assert found(line, covered([Box(10, 10, 15, 20), Box(22, 10, 40, 20)], (60, 60)))


def test_boxes_count_as_false_only_where_surely_no_text_is():
    bare = np.zeros((100, 100), bool)
    bare[:, 50:] = True
    seen = clean("chest", [Box(0, 0, 20, 10), Box(60, 0, 80, 10), Box(40, 20, 60, 30)], bare)
    assert (seen.boxes, seen.false_boxes) == (3, 2)
    assert seen.marked == pytest.approx(0.06)


def test_shares_have_wilsons_interval():
    share = Share(9, 10)
    assert (share.value, round(share.interval.low, 3), round(share.interval.high, 3)) == (
        0.9,
        0.596,
        0.982,
    )
    assert Share(0, 0).value == 0
    assert (Share(0, 0).interval.low, Share(0, 0).interval.high) == (0, 1)


def test_recall_is_of_the_lines_that_are_wanted():
    line = Line(CELLS[0], Box(0, 0, 1, 1))
    sought = [Sought(line, "chest", 512, True), Sought(line, "phantom", 512, False)]
    assert recall(sought, lambda one: True) == Share(1, 2)
    assert recall(sought, lambda one: one.kind == "chest") == Share(1, 1)


def test_a_box_around_everything_finds_all_and_is_told_to_be_false(tmp_path):
    told = []
    seen = look(everything, TINY, REPORTED_ON, tmp_path, told.append)
    data = as_data(seen)
    assert data["lines"] == len(seen.sought) > 0
    assert data["recall"]["all"]["value"] == 1.0
    assert data["recall"]["chest"] == {"value": None, "interval": [0, 1], "of": 0}
    assert data["clean"]["phantom"]["false_boxes_per_film"] == 1.0
    assert data["clean"]["phantom"]["area_marked"] == 1.0
    assert len(told) == 2
    assert "Recall by contrast and height" in text(seen)


def test_a_blind_detector_finds_nothing_and_makes_nothing_up(tmp_path):
    data = as_data(look(lambda pixels: [], TINY, CHOSEN_ON, tmp_path, lambda line: None))
    assert data["recall"]["all"]["value"] == 0.0
    assert data["clean"]["phantom"]["films_with_false_boxes"]["value"] == 0.0


def test_the_command_tells_the_same_to_people_and_programs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "QUICK", TINY)
    monkeypatch.setattr(command, "find_text", everything)
    file = tmp_path / "figures.json"
    arguments = ["burned_in", "--quick", "--data", str(tmp_path / "none"), "--json", str(file)]
    monkeypatch.setattr(sys, "argv", arguments)
    command.main()
    shown = capsys.readouterr().out
    data = json.loads(file.read_text())
    assert "phantoms only" in shown
    assert data["real_films"] is False
    assert data["on"] == "reported"
    assert f"1.00 [{data['recall']['all']['interval'][0]:.2f}, 1.00]" in shown
    assert {"versions", "date", "command", "plan", "cpu_seconds_per_film"} <= set(data)


def test_what_is_reported_was_not_chosen_on():
    assert not set(CHOSEN_ON.real) & set(REPORTED_ON.real)
    assert CHOSEN_ON.phantom != REPORTED_ON.phantom


def test_every_sort_of_line_and_film_has_its_turn():
    assert FULL.films % (2 * len(FULL.sides)) == 0
    assert FULL.films * FULL.lines >= 5 * len(CELLS)
    assert max(QUICK.sides) < max(FULL.sides)
    assert trial.QUICK is QUICK
