import json
import sys

import numpy as np
import pytest

from benchmarks.burned_in import __main__ as command
from benchmarks.burned_in.__main__ import FULL, QUICK, Plan, detect, write_lines
from benchmarks.burned_in.films import (
    CELLS,
    HOSPITALS,
    Cell,
    Film,
    line_mask,
    overlap,
    phantom,
    write_line,
)
from benchmarks.burned_in.recall import Findings, Written, covered, mostly, share, tables
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
    pixels, box = write_line(GRAY, Cell(16, contrast, ink, False), [], draw())
    changed = pixels != GRAY
    assert changed.any()
    far = np.abs(pixels.astype(int) - 120).max()
    assert far == pytest.approx(255 * contrast, abs=1)
    assert ((pixels[changed] > 120) == (ink == "light")).all()
    rows, columns = np.nonzero(changed)
    assert (box.top, box.left) == (rows.min(), columns.min())
    assert (box.bottom, box.right) == (rows.max() + 1, columns.max() + 1)
    assert (GRAY == 120).all()


@pytest.mark.parametrize(("ink", "plate"), [("light", 0), ("dark", 255)])
def test_full_contrast_is_on_a_plate_of_its_own(ink, plate):
    pixels, box = write_line(GRAY, Cell(16, 1.0, ink, False), [], draw())
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
    film = phantom(0, 1, 512)
    pixels, lines = write_lines(film, CELLS[:6])
    assert len(lines) >= 4
    boxes = [box for _, box in lines]
    assert not any(overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    again, same = write_lines(film, CELLS[:6])
    np.testing.assert_array_equal(again, pixels)
    assert same == lines


def test_half_of_a_line_is_enough_and_less_is_not():
    line = Box(10, 10, 30, 20)
    assert mostly(line, covered([Box(0, 0, 20, 50)], (60, 60)))
    assert not mostly(line, covered([Box(0, 0, 19, 50)], (60, 60)))
    assert mostly(line, covered([Box(10, 10, 15, 20), Box(22, 10, 40, 20)], (60, 60)))


@pytest.mark.parametrize(("left", "false"), [(40, True), (39, False)])
def test_boxes_count_as_false_only_where_surely_no_text_is(left, false, monkeypatch, tmp_path):
    bare = np.zeros(GRAY.shape, bool)
    bare[:, 50:] = True
    films = [Film("a", "chest", GRAY, bare)]
    monkeypatch.setattr(command, "films", lambda *words: films)
    box = Box(left, 0, left + 20, 10)
    findings = detect(lambda pixels: [box], TINY, HOSPITALS["chosen"], tmp_path, lambda line: None)
    assert findings.false_boxes == {"chest": [false]}


def test_shares_have_wilsons_interval():
    nine = share([True] * 9 + [False])
    assert nine.text == "0.90 [0.60, 0.98] of 10"
    assert nine.data["interval"] == pytest.approx([0.596, 0.982], abs=5e-4)
    assert (share([]).text, share([]).data) == ("-", None)


def entries(findings, title):
    """First column -> the figures of the others."""
    [table] = [table.as_data() for table in tables(findings) if table.title == title]
    return {row[0]: row[1:] for row in table["rows"]}


def test_every_line_counts_in_its_own_rows():
    faint, plate = Cell(8, 0.1, "light", False), Cell(40, 1.0, "dark", True)
    lines = [Written(faint, "chest", 512, True), Written(plate, "phantom", 1024, False)]
    findings = Findings(lines)
    sorts = entries(findings, "Recall by sort of line")
    of = {name: entry and (entry["value"], entry["of"]) for name, [entry] in sorts.items()}
    assert of["all"] == (0.5, 2)
    assert of["light ink"] == of["level"] == of["chest"] == of["film of 512 px"] == (1, 1)
    assert of["dark ink"] == of["turned"] == of["phantom"] == of["film of 1024 px"] == (0, 1)
    assert of["film of 2048 px"] is None
    grid = entries(findings, "Recall by contrast and height")
    assert [entry and entry["value"] for entry in grid["10%"]] == [1, None, None, None, None]
    assert [entry and entry["value"] for entry in grid["plate"]] == [None, None, None, None, 0]


def test_a_box_around_everything_finds_all_and_counts_as_false(tmp_path):
    said = []
    findings = detect(everything, TINY, HOSPITALS["reported"], tmp_path, said.append)
    sorts = entries(findings, "Recall by sort of line")
    assert sorts["all"][0]["value"] == 1.0
    assert sorts["all"][0]["of"] == len(findings.written) > 0
    assert sorts["chest"] == [None]
    before = entries(findings, "Before anything was written")
    assert (before["phantom"][0]["value"], before["phantom"][0]["of"]) == (1.0, 2)
    assert len(said) == 2


def test_a_blind_detector_finds_nothing_and_makes_nothing_up(tmp_path):
    findings = detect(lambda pixels: [], TINY, HOSPITALS["chosen"], tmp_path, lambda line: None)
    assert entries(findings, "Recall by sort of line")["all"][0]["value"] == 0.0
    assert entries(findings, "Before anything was written")["phantom"][0]["value"] == 0.0


def test_the_command_gives_the_same_to_people_and_programs(tmp_path, monkeypatch, capsys):
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
    titles = [table["title"] for table in data["tables"]]
    assert all(title in shown for title in titles)
    recall = data["tables"][1]["rows"][0][1]
    assert recall["of"] == data["lines"]
    assert f"1.00 [{recall['interval'][0]:.2f}, 1.00] of {data['lines']}" in shown
    assert {"versions", "date", "command", "plan"} <= set(data)


def test_what_is_reported_was_not_chosen_on():
    chosen, reported = HOSPITALS["chosen"], HOSPITALS["reported"]
    assert not set(chosen.real) & set(reported.real)
    assert chosen.phantom != reported.phantom


def test_every_sort_of_line_and_film_has_its_turn():
    assert FULL.films % (2 * len(FULL.sides)) == 0
    assert FULL.films * FULL.lines >= 5 * len(CELLS)
    assert max(QUICK.sides) < max(FULL.sides)
