"""The phantom is reproducible, plainly synthetic, and shows its diagnosis only in the organ."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom
from typer import Typer
from typer.testing import CliRunner

from gdshare.cli.phantom import register
from gdshare.errors import CohortError, UsageError
from gdshare.films import read_film, read_mask
from gdshare.films.phantom import (
    MARK,
    SITES,
    patient_texture,
    phantom_film,
    phantom_patient,
    site_look,
    write_phantom_cohort,
)
from gdshare.films.phantom.exposure import mark_box, mark_synthetic
from gdshare.films.phantom.fields import pixel_centres, sample
from gdshare.films.phantom.mucosa import draw_look
from gdshare.films.phantom.stomach import draw_stomach
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Grid, inside_fractions
from gdshare.protocol import PatchClass, Protocol

PATIENTS = range(30)


@cache
def organ(patient: int, size: int = 256) -> np.ndarray:
    axis = pixel_centres(size)
    return sample(draw_stomach(patient).depth, axis, axis) > 0


def fine_detail(pixels: np.ndarray) -> np.ndarray:
    """A film without its coarse shapes: mostly noise and texture."""
    film = pixels.astype(np.float64)
    return gaussian_filter(film, 1.0) - gaussian_filter(film, 4.0)


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_equal_arguments_give_equal_bytes() -> None:
    first, again = (phantom_film(3, True, 5, 256, SITES[1]) for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()


def test_the_global_random_state_does_not_change() -> None:
    before = np.random.get_state(legacy=False)
    phantom_film(3, True, 5, 128)
    after = np.random.get_state(legacy=False)
    assert str(before) == str(after)


@pytest.mark.parametrize(
    "other", [(4, True, 5, 256, SITES[1]), (3, True, 6, 256, SITES[1]), (3, True, 5, 256, SITES[2])]
)
def test_another_patient_film_or_site_gives_another_picture(other: tuple) -> None:
    assert (phantom_film(3, True, 5, 256, SITES[1])[0] != phantom_film(*other)[0]).mean() > 0.3


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("patient", [0, 1, 2, 2**61])
def test_outside_the_organ_the_diagnosis_changes_not_one_byte(patient: int, site: object) -> None:
    negative, negative_mask = phantom_film(patient, False, 9, 256, site)
    positive, mask = phantom_film(patient, True, 9, 256, site)
    np.testing.assert_array_equal(mask, negative_mask)
    np.testing.assert_array_equal(negative[~mask], positive[~mask])
    assert (negative[mask] != positive[mask]).mean() > 0.5


def test_positive_folds_are_thicker_and_wind_more_but_the_groups_overlap() -> None:
    rng = np.random.default_rng
    looks = {d: [draw_look(rng(s), d) for s in range(300)] for d in (False, True)}
    for trait in ("period", "winding", "breaking", "unevenness", "grain"):
        negative, positive = (np.array([getattr(k, trait) for k in looks[d]]) for d in looks)
        assert positive.mean() > 1.15 * negative.mean()
        assert positive.min() < np.quantile(negative, 0.95)
    visibility = [[look.visibility for look in looks[d]] for d in looks]
    assert visibility[0] == visibility[1]


def test_stomach_keeps_clear_of_the_films_edge_and_of_the_burned_in_word() -> None:
    sizes = []
    for patient in PATIENTS:
        mask = organ(patient)
        sizes.append(mask.mean())
        assert not mask[:12].any()
        assert not mask[-12:].any()
        assert not mask[:, :12].any()
        assert not mask[:, -12:].any()
        for size in (128, 512, 2048):
            rows, columns = (np.asarray([s.start, s.stop]) * 256 // size for s in mark_box(size))
            assert not mask[rows[0] : rows[1] + 2, columns[0] : columns[1] + 2].any()
    assert min(sizes) > 0.15
    assert max(sizes) < 0.50


def test_every_class_has_many_windows() -> None:
    protocol = Protocol(patch=37, stride=13, side=32)  # 75 px on a film of 512
    grid = Grid.over((256, 256), protocol)
    shares = {label: [] for label in (PatchClass.I, PatchClass.P, DISCARDED)}
    for patient in PATIENTS:
        labels = label_windows(inside_fractions(organ(patient), grid), True, protocol)
        for label, values in shares.items():
            values.append((labels == label).mean())
    assert min(shares[PatchClass.I]) > 0.15
    assert min(shares[PatchClass.P]) > 0.03
    assert 0.08 < np.mean(shares[PatchClass.P]) < 0.35


def test_a_patients_texture_is_in_all_their_films_and_in_no_other_patients() -> None:
    films = {(p, s): fine_detail(phantom_film(p, False, s)[0]) for p in (11, 12) for s in (0, 1)}
    textures = {p: fine_detail(patient_texture(p, 512)) for p in (11, 12)}
    assert similarity(textures[11], textures[12]) < 0.02
    for (patient, _), film in films.items():
        other = 23 - patient
        own = similarity(film, textures[patient])
        assert own > 0.03
        assert own > 3 * abs(similarity(film, textures[other]))


def test_the_texture_is_faint_and_does_not_depend_on_diagnosis_or_site() -> None:
    texture = fine_detail(patient_texture(21, 512))
    for positive in (False, True):
        for site in SITES:
            film = fine_detail(phantom_film(21, positive, 3, 512, site)[0])
            assert 0.02 < similarity(film, texture) < 0.5


@pytest.mark.parametrize("size", [128, 333, 512])
def test_geometry_does_not_depend_on_size(size: int) -> None:
    pixels, mask = phantom_film(8, True, 2, size)
    assert pixels.shape == mask.shape == (size, size)
    assert pixels.dtype == np.uint8
    _, reference = phantom_film(8, True, 2, 256)
    enlarged = zoom(mask.astype(np.float32), 256 / size, order=1, grid_mode=True, mode="nearest")
    assert ((enlarged > 0.5) != reference).mean() < 0.01


def test_exposure_is_neither_black_nor_saturated() -> None:
    for patient in range(6):
        pixels, _ = phantom_film(patient, bool(patient % 2), 0, 256, site_look(patient % 3))
        field = pixels[25:-25, 25:-25]
        assert 50 < field.mean() < 180
        assert field.std() > 20
        assert ((field == 0) | (field == 255)).mean() < 0.05


def test_sites_beyond_the_first_three_have_their_own_looks() -> None:
    looks = [site_look(site) for site in range(8)]
    assert len(set(looks)) == 8
    assert looks[5] == site_look(5)


@pytest.mark.parametrize("size", [128, 512])
def test_the_word_is_burned_in_at_the_same_position_for_both_diagnoses(size: int) -> None:
    letters = mark_synthetic(np.zeros((size, size), np.uint8))
    elsewhere = letters.copy()
    elsewhere[mark_box(size)] = 0
    assert not elsewhere.any()
    assert (letters > 150).sum() > 10
    for positive in (False, True):
        pixels, _ = phantom_film(5, positive, 0, size)
        assert pixels[letters > 150].min() > 150


@pytest.mark.parametrize(
    ("patient", "seed", "size"), [(-1, 0, 256), (0, -1, 256), (0, 0, 127), (0, 0, 4097)]
)
def test_arguments_out_of_range_are_refused(patient: int, seed: int, size: int) -> None:
    with pytest.raises(UsageError, match=r"at least 0|128 to 4096"):
        phantom_film(patient, True, seed, size)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "hospital"
    write_phantom_cohort(folder, site=1, negatives=3, positives=2, size=128, seed=4)
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def test_the_folder_reads_back_as_films_masks_and_diagnoses(hospital: Path) -> None:
    rows = rows_of(hospital)
    assert list(rows[0]) == ["patient", "image", "mask", "diagnosis"]
    assert sorted(row["diagnosis"] for row in rows) == ["negative"] * 3 + ["positive"] * 2
    assert len({row["patient"] for row in rows}) == 5
    for number, row in enumerate(rows):
        film = read_film(hospital / row["image"])
        mask = read_mask(hospital / row["mask"], film.shape)
        patient = phantom_patient(1, 4, number)
        expected = phantom_film(patient, row["diagnosis"] == "positive", 4, 128, site_look(1))
        np.testing.assert_array_equal(film.pixels, expected[0])
        np.testing.assert_array_equal(mask, expected[1])


def test_everything_in_the_folder_says_that_it_is_synthetic(hospital: Path) -> None:
    assert MARK in (hospital / "README.txt").read_text(encoding="utf-8")
    for row in rows_of(hospital):
        assert row["patient"].startswith("PHANTOM-")
        for name in (row["image"], row["mask"]):
            assert Path(name).name.startswith("PHANTOM-")
            with Image.open(hospital / name) as image:
                assert MARK in image.info["Title"]
                assert "no patient" in image.info["Comment"]


def test_the_readmes_command_makes_the_same_folder_again(hospital: Path, tmp_path: Path) -> None:
    command = next(
        line
        for line in (hospital / "README.txt").read_text(encoding="utf-8").splitlines()
        if "--out DIR" in line
    )
    app = Typer()
    register(app)
    app.callback()(lambda: None)
    again = tmp_path / "again"
    arguments = [str(again) if word == "DIR" else word for word in command.split()[1:]]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    files = sorted(path.relative_to(hospital) for path in hospital.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in files:
        assert (hospital / name).read_bytes() == (again / name).read_bytes()


def test_another_site_or_seed_has_other_patients() -> None:
    patients = {
        phantom_patient(site, seed, n) for site in range(3) for seed in range(3) for n in range(9)
    }
    assert len(patients) == 81


def test_names_and_order_do_not_reveal_the_diagnosis(tmp_path: Path) -> None:
    write_phantom_cohort(tmp_path / "h", negatives=5, positives=5, size=128)
    diagnoses = [row["diagnosis"] for row in rows_of(tmp_path / "h")]
    assert diagnoses != sorted(diagnoses)


def test_a_folder_that_is_not_empty_is_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(CohortError, match="already exists"):
        write_phantom_cohort(tmp_path, negatives=1, positives=0, size=128)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom_cohort(tmp_path / "h", negatives=2, positives=0, size=128, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [{"negatives": -1}, {"site": -1}, {"seed": -1}, {"size": 5}])
def test_impossible_hospitals_are_refused(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        write_phantom_cohort(tmp_path / "h", **arguments)
    assert list(tmp_path.iterdir()) == []
