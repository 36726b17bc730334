import json
import os
import subprocess
import sys

import numpy as np
import pytest
from film_kit import PROTOCOL, write_films
from process_kit import environment

from gdshare.cohort import SPLITS, fitting_geometry, label_cohort, open_cohort
from gdshare.errors import CohortError, FilmError, UsageError
from gdshare.films import read_film, read_mask
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Grid, cut_rows, inside_fractions
from gdshare.protocol import Protocol
from gdshare.tone import harmonise

THIRDS = (1 / 3, 1 / 3, 1 / 3)


def test_patches_and_labels_follow_the_rule_film_by_film(tmp_path):
    label_cohort(write_films(tmp_path / "films"), tmp_path / "cohort", PROTOCOL, THIRDS, 0)
    cohort = open_cohort(tmp_path / "cohort")
    for split in SPLITS:
        patches, row = cohort.patches(split), 0
        for film in cohort.films_of(split):
            image = read_film(film.image)
            grid = Grid.over(image.shape, PROTOCOL)
            mask = read_mask(film.mask, image.shape)
            labels = label_windows(inside_fractions(mask, grid), film.positive, PROTOCOL).ravel()
            shades = harmonise(image.scaled(), PROTOCOL.tone)
            windows = np.concatenate(list(cut_rows(shades, grid, PROTOCOL.side)))
            for label, window in zip(labels, windows, strict=True):
                if label == DISCARDED:
                    continue
                assert patches.labels[row] == label
                assert cohort.films[patches.films[row]] == film
                stored = patches.scaled(np.array([row]))[0]
                np.testing.assert_allclose(stored, window, atol=1 / 65535)
                row += 1
        assert row == len(patches)


def test_counts_add_up_to_every_window_of_every_film(tmp_path):
    index = label_cohort(write_films(tmp_path / "films"), tmp_path / "c", PROTOCOL, THIRDS, 0)
    per_film = Grid.over((64, 64), PROTOCOL).count
    for counts in index.counts.values():
        assert counts.i + counts.n + counts.p + counts.discarded == per_film * counts.films
        assert min(counts.i, counts.n, counts.p, counts.discarded) > 0
        assert (counts.negative, counts.positive, counts.films) == (2, 2, 4)


def test_all_films_of_a_patient_are_in_one_split(tmp_path):
    table = write_films(tmp_path / "films", patients=8, films_each=3)
    label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0)
    splits: dict[str, set[str]] = {}
    for film in open_cohort(tmp_path / "c").films:
        splits.setdefault(film.patient, set()).add(film.split)
    assert len(splits) == 8
    assert all(len(of_patient) == 1 for of_patient in splits.values())


def test_masks_may_be_annotation_files_of_any_tool(tmp_path):
    table = write_films(tmp_path / "films")
    corners = [0, 0, 64, 0, 64, 32, 0, 32]  # the upper half, like the mask of write_films
    films = sorted(path.name for path in (tmp_path / "films").glob("[0-9]*.png"))
    coco = {
        "images": [
            {"id": n, "file_name": name, "width": 64, "height": 64} for n, name in enumerate(films)
        ],
        "categories": [{"id": 1, "name": "stomach"}, {"id": 2, "name": "spine"}],
        "annotations": [
            {"id": 2 * n + c, "image_id": n, "category_id": c + 1, "segmentation": [corners]}
            for n in range(len(films))
            for c in (0, 1)
        ],
    }
    (tmp_path / "films" / "all.json").write_text(json.dumps(coco), encoding="utf-8")
    plain = label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0)
    table.write_text(
        table.read_text(encoding="utf-8").replace("mask.png", "all.json"), encoding="utf-8"
    )
    with pytest.raises(FilmError, match="has several labels"):
        label_cohort(table, tmp_path / "d", PROTOCOL, THIRDS, 0)
    annotated = label_cohort(table, tmp_path / "d", PROTOCOL, THIRDS, 0, organ="stomach")
    assert annotated.counts == plain.counts


def with_pixel_sizes(table, sizes):
    """Add a column with these pixel sizes in turn."""
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    lines = [f"{line},{sizes[number % len(sizes)]}" for number, line in enumerate(lines)]
    table.write_text("\n".join([f"{head},spacing_mm", *lines]) + "\n", encoding="utf-8")
    return table


def test_smallest_and_largest_window_on_the_patient_are_recorded(tmp_path):
    table = with_pixel_sizes(write_films(tmp_path / "films"), ["0.1", "0.2", ""])
    index = label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0)
    assert index.patch_mm == pytest.approx((0.1 * PROTOCOL.patch, 0.2 * PROTOCOL.patch))
    unknown = label_cohort(write_films(tmp_path / "more"), tmp_path / "d", PROTOCOL, THIRDS, 0)
    assert unknown.patch_mm is None


def test_windows_have_one_size_on_the_patient_whatever_the_pixel_size(tmp_path):
    table = with_pixel_sizes(write_films(tmp_path / "films"), ["0.1", "0.2"])
    protocol = PROTOCOL.model_copy(update={"resample_mm": 0.2})
    index = label_cohort(table, tmp_path / "c", protocol, THIRDS, 0)
    assert index.patch_mm == pytest.approx((0.2 * PROTOCOL.patch,) * 2)
    assert open_cohort(tmp_path / "c").films[0].spacing_mm == 0.1


def with_splits(table):
    """Add a column that puts the patients into the three splits in turn."""
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    patients = {}
    for line in lines:
        patients.setdefault(line.split(",")[0], SPLITS[len(patients) % 3])
    lines = [f"{line},{patients[line.split(',')[0]]}" for line in lines]
    table.write_text("\n".join([f"{head},split", *lines]), encoding="utf-8")
    return patients


def test_split_column_of_the_table_decides(tmp_path):
    table = write_films(tmp_path / "films")
    splits = with_splits(table)
    index = label_cohort(table, tmp_path / "c", PROTOCOL, seed=3)
    assert {film.patient: film.split for film in index.films} == splits
    assert (index.seed, index.fractions) == (None, None)


def test_fractions_are_refused_for_a_table_with_a_split_column(tmp_path):
    table = write_films(tmp_path / "films")
    with_splits(table)
    with pytest.raises(UsageError, match="has a column split, so --split has nothing to divide"):
        label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0)
    assert not (tmp_path / "c").exists()


def test_film_without_a_mask_is_listed_but_gives_no_patches(tmp_path):
    table = write_films(tmp_path / "films", masks=False)
    index = label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0)
    assert len(index.films) == 12
    assert all(c.i + c.n + c.p + c.discarded == 0 for c in index.counts.values())
    assert len(open_cohort(tmp_path / "c").patches("train")) == 0


def test_same_films_and_seed_give_the_same_bytes(tmp_path):
    table = write_films(tmp_path / "films")
    for name in ("a", "b"):
        label_cohort(table, tmp_path / name, PROTOCOL, THIRDS, 3)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert len(names) == 7
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_damaged_film_in_the_middle_leaves_nothing_behind(tmp_path):
    table = write_films(tmp_path / "films")
    (tmp_path / "films" / "7.png").write_bytes(b"damaged")
    before = set(tmp_path.iterdir())
    with pytest.raises(FilmError, match=r"7\.png"):
        label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0)
    assert set(tmp_path.iterdir()) == before


def test_an_existing_cohort_is_never_overwritten(tmp_path):
    table = write_films(tmp_path / "films")
    label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0)
    with pytest.raises(CohortError, match="already exists"):
        label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 1)


def test_window_larger_than_the_film_is_refused_by_name(tmp_path):
    table = write_films(tmp_path / "films")
    with pytest.raises(FilmError, match=r"0\.png: is too small for a window of 80 px"):
        label_cohort(table, tmp_path / "c", Protocol(patch=80, side=8), THIRDS, 0)


@pytest.mark.parametrize("damage", ["index", "patches", "windows", "swap"])
def test_damaged_cohort_is_refused(tmp_path, damage):
    label_cohort(write_films(tmp_path / "films"), tmp_path / "c", PROTOCOL, THIRDS, 0)
    folder = tmp_path / "c"
    if damage == "index":
        (folder / "cohort.json").write_text("{}", encoding="utf-8")
    elif damage == "swap":
        (folder / "val.patches.npy").write_bytes((folder / "val.windows.npy").read_bytes())
    else:
        path = folder / f"val.{damage}.npy"
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CohortError):
        open_cohort(folder).patches("val")


def test_folder_that_is_no_cohort_is_refused(tmp_path):
    with pytest.raises(CohortError, match="make one with gdshare label"):
        open_cohort(tmp_path)


def test_cohort_of_another_protocol_is_refused():
    with pytest.raises(UsageError, match=r"cohort x: was made .*stride 9 instead of 8"):
        PROTOCOL.require_same(PROTOCOL.model_copy(update={"stride": 9}), "cohort x")


SCRIPT = """
import sys
from pathlib import Path
from film_kit import write_films
from peak_kit import peak_mb
from gdshare.cohort import label_cohort
from gdshare.protocol import Protocol
import numpy as np
from PIL import Image
folder, films = Path(sys.argv[1]), int(sys.argv[2])
table = write_films(folder / "films", films)
mask = np.zeros((700, 700), np.uint8); mask[:400] = 255
Image.fromarray(mask).save(folder / "films" / "mask.png")
for number in range(films):
    big = np.random.default_rng(number).integers(0, 255, (700, 700)).astype(np.uint8)
    Image.fromarray(big).save(folder / "films" / f"{number}.png")
label_cohort(table, folder / "c", Protocol(patch=64, stride=16, side=48), (0.6, 0.2, 0.2), 0)
print(peak_mb())
"""


def test_peak_memory_stays_flat_as_films_are_added(tmp_path):
    def peak(films: int) -> float:
        folder = tmp_path / str(films)
        folder.mkdir()
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder), str(films)],
            capture_output=True, text=True, check=True,
            env=environment(OMP_NUM_THREADS="1"),
        )  # fmt: skip
        return float(run.stdout)

    few, many = peak(4), peak(40)
    written = sum(p.stat().st_size for p in (tmp_path / "40" / "c").glob("*.npy")) / 2**20
    assert written > 100, "the test must write far more than the margin allowed below"
    assert many < few + 20


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("name", ["1.png", "own-mask.png"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "No such file"),
        (pipe, "not a plain file"),
        (cut, "cut short"),
    ],
)
def test_unusable_film_or_mask_is_named_with_its_line(tmp_path, name, damage, message):
    table = write_films(tmp_path / "films")
    (tmp_path / "films/own-mask.png").write_bytes((tmp_path / "films/mask.png").read_bytes())
    lines = table.read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines) if "1.png" in line)
    lines[number] = lines[number].replace("mask.png", "own-mask.png")
    table.write_text("\n\n".join(lines), encoding="utf-8")
    damage(tmp_path / "films" / name)
    with pytest.raises(FilmError, match=f"line {2 * number + 1}: .*{name}: .*{message}"):
        label_cohort(table, tmp_path / "out", PROTOCOL, THIRDS, 0)
    assert not (tmp_path / "out").exists()
    if damage is not cut or name == "1.png":  # measuring reads no mask
        with pytest.raises(FilmError, match=f"line {2 * number + 1}: .*{name}: .*{message}"):
            fitting_geometry(table, PROTOCOL)


def test_films_below_a_folder_whose_name_is_no_utf8_are_refused_before_they_are_cut(tmp_path):
    table = write_films(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(CohortError, match="not UTF-8, which a cohort cannot record; rename it"):
        label_cohort(table, tmp_path / "c", PROTOCOL, THIRDS, 0, _never)
    assert not (tmp_path / "c").exists()


def _never(*_):
    pytest.fail("a film was cut")
