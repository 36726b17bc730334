"""Whether patients are picked from line-ups, by their films exposed again or by second films."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from command_kit import gdshare
from film_kit import small_cohort
from PIL import Image
from texture_kit import TEXTURED, textured_cohort, write_textured_films

from gdshare.audit import AUDIT, read_audit
from gdshare.audit.attack import seed_of
from gdshare.audit.audit_run import audit_run
from gdshare.audit.candidates import candidates_of
from gdshare.audit.gathering import gather, overfitted_sets
from gdshare.audit.lineup import NAME, on_other_films
from gdshare.audit.membership_lira import BUNDLE
from gdshare.audit.other_films import exposed_again, open_second
from gdshare.audit.picking import lineup_size, pick
from gdshare.audit.shadows import FOLDER, open_workshop
from gdshare.audit.traces import reader_of
from gdshare.cohort import SPLITS, label_cohort, open_cohort, windows_digest
from gdshare.distill.loop import distill
from gdshare.distill.run_folder import read_record, read_result
from gdshare.films.phantom import phantom_film
from gdshare.method import Settings
from gdshare.protocol import Protocol

SETTINGS = Settings(outer_steps=50, batch=240, seed=3, feature_patches=120, score_patches=40)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with an audited run, and the cohort."""
    folder = tmp_path_factory.mktemp("site")
    cohort = textured_cohort(folder)
    distill(cohort, folder / "run", SETTINGS)
    audit_run(folder / "run", cohort)
    return folder, cohort


def result_of(run):
    record = read_audit(run, read_result(run))
    [result] = [own for own in record.results if own.attack.name == NAME]
    return result


def test_patients_with_textures_are_picked_by_their_films_exposed_again(site):
    folder, _ = site
    result = result_of(folder / "run")
    found = result.lineup
    assert (found.film, found.second_sha256) == ("exposed-again", None)
    assert (found.people, found.members, found.others) == (3, 24, 16)
    assert result.control.fired
    assert (result.control.unrelated, result.attack.unrelated) == (0.333333, 0.333)
    assert (result.attack.figure, result.attack.low) == (
        round(found.share, 3),
        round(found.low, 3),
    )
    assert found.share > 1.5 / found.people
    assert found.median_rank < (found.people + 1) / 2


@pytest.fixture(scope="module")
def evidence(site):
    """On films exposed again, from the shadows that the audit left; and how it is read."""
    folder, cohort = site
    record, distilled = read_record(folder / "run"), read_result(folder / "run")
    seed = seed_of(distilled)
    people = candidates_of(cohort, 2 * SETTINGS.feature_patches, seed)
    workshop = open_workshop(
        *(record, distilled, cohort, seed, folder / "run", "cpu", None),
        lambda done, total: None,
    )
    few = overfitted_sets(workshop, 4, lambda: None)
    own = gather(workshop, record, distilled, few, 16, None, lambda: None)
    other = exposed_again(people, seed)
    read = reader_of(other.people, workshop.problem, record, distilled, seed, None)
    return on_other_films(own, other, read, few), read


def test_images_that_have_nothing_to_do_with_the_patients_pick_nobody(evidence):
    """Whatever makes patients stand out under noise, chance decided who is a training patient."""
    own, read = evidence
    people, above = own.candidates, []
    for seed in range(40):
        images = np.random.default_rng(seed % 4).normal(size=own.distilled.images.shape)
        noise = replace(own.distilled, images=images.astype(np.float32))
        scores = own.ratios(BUNDLE, read(noise))
        draw, member = np.random.default_rng(seed), people.member.copy()
        for diagnosis in (False, True):
            same = np.flatnonzero(people.positive == diagnosis)
            member[same] = draw.permutation(member[same])
        size = lineup_size(people.positive, member)
        board = own.guesses(scores, member, np.arange(len(people)))
        above.append(pick([board], size).low > 1 / size.people)
    assert np.mean(above) <= 0.1


def test_second_exposure_is_another_picture_of_the_same_patient(site):
    _, cohort = site
    people = candidates_of(cohort, 240, 1)
    other = exposed_again(people, 1)
    rows = np.arange(len(people.measured))
    own, their = (part.measured.scaled(rows) for part in (people, other.people))
    assert np.abs(own - their).mean() > 0.02
    flat = [part.reshape(len(rows), -1) for part in (own, their)]
    centred = [part - part.mean(axis=1, keepdims=True) for part in flat]
    length = [np.linalg.norm(part, axis=1) for part in centred]
    alike = (centred[0] * centred[1]).sum(axis=1) / (length[0] * length[1])
    assert 0.4 < np.median(alike) < 0.98  # gratings of few pixels, moved by one
    stranger = (centred[0] * np.roll(centred[1], 400, axis=0)).sum(axis=1)
    assert np.abs(np.median(stranger / (length[0] * np.roll(length[1], 400)))) < 0.2
    assert len(other.people.training) == 0
    assert other.chosen.tolist() == list(range(len(people)))
    assert (other.people.owners == people.owners).all()
    again = exposed_again(people, 1).people.measured.pixels
    assert (again == other.people.measured.pixels).all()


def second_cohort(folder, name="second", exposure=1, protocol=TEXTURED, keep=lambda number: True):
    """Second films of some of the textured patients, who are divided otherwise."""
    table = write_textured_films(folder / f"films-{name}", exposure=exposure)
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    kept = [line for number, line in enumerate(lines) if keep(number)]
    table.write_text("\n".join([head, *kept]), encoding="utf-8")
    label_cohort(table, folder / name, protocol, (0.4, 0.3, 0.3), 9)
    return folder / name


def copy_of(site, tmp_path):
    shutil.copytree(site[0] / "run", tmp_path / "run")
    return tmp_path / "run"


def test_patients_with_textures_are_picked_by_second_films(site, tmp_path):
    run, second = copy_of(site, tmp_path), open_cohort(second_cohort(tmp_path))
    audit_run(run, site[1], second=second)
    result = result_of(run)
    assert result.lineup.film == "second"
    assert result.lineup.second_sha256 == windows_digest(second, SPLITS)
    assert (result.lineup.members, result.lineup.others) == (24, 16)
    assert result.control.fired
    assert result.lineup.share > 1.5 / result.lineup.people
    before, after = (json.loads((own / AUDIT).read_bytes()) for own in (site[0] / "run", run))
    for record in (before, after):
        record["results"] = [own for own in record["results"] if own["attack"]["name"] != NAME]
    assert before == after  # everything else is as without them


def phantom_cohort(folder, name, exposure, patients=32):
    """A film of each phantom patient: the same anatomy and texture, another position and noise."""
    films = folder / f"films-{name}"
    films.mkdir()
    lines = ["patient,image,mask,diagnosis"]
    for number in range(patients):
        pixels, mask = phantom_film(number, number % 2 == 1, exposure, size=128)
        Image.fromarray(pixels).save(films / f"{number}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(films / f"mask-{number}.png")
        diagnosis = "positive" if number % 2 else "negative"
        lines.append(f"PHANTOM-{number:02},{number}.png,mask-{number}.png,{diagnosis}")
    (films / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    protocol = Protocol(patch=19, stride=8, side=16)
    label_cohort(films / "labels.csv", folder / name, protocol, (0.5, 0.1, 0.4))
    return open_cohort(folder / name)


def test_command_holds_line_ups_by_second_films_of_phantoms(tmp_path):
    cohort = phantom_cohort(tmp_path, "cohort", 0)
    phantom_cohort(tmp_path, "second", 1)
    distill(cohort, tmp_path / "run", SETTINGS.model_copy(update={"outer_steps": 20}))
    words = ("audit", tmp_path / "run", tmp_path / "cohort", "--second", tmp_path / "second")
    ended = gdshare(*words, check=True)
    result = result_of(tmp_path / "run")
    found = result.lineup
    assert (found.film, found.people, found.members, found.others) == ("second", 2, 16, 12)
    assert 0.0 <= found.low <= found.share <= found.high <= 1.0
    said = "one training patient among 2, by second films; 16 training patients and 12 others"
    assert (f"{NAME}: {said}" in ended.out) is result.counts
    assert (f"{NAME}: its control did not fire" in ended.out) is not result.counts
    assert NAME in ended.out


def test_only_patients_with_a_second_film_are_in_line_ups_and_in_its_control(site, tmp_path):
    run = copy_of(site, tmp_path)
    second = open_cohort(second_cohort(tmp_path, keep=lambda number: number % 4 < 2 or number < 12))
    before = {path.name for path in (run / FOLDER).glob("overfitted-*")}
    audit_run(run, site[1], second=second)
    found = result_of(run).lineup
    present = {film.patient for film in second.films}
    for split, count in (("train", found.members), ("test", found.others)):
        assert count == len(present & {film.patient for film in site[1].films_of(split)})
    made = {path.name for path in (run / FOLDER).glob("overfitted-*")} - before
    assert len(made) == 4


def refusal(site, tmp_path, second):
    """What the command says; nothing in the run's folder has changed."""
    run = tmp_path / "copied"
    shutil.copytree(site[0] / "run", run)
    shutil.rmtree(run / FOLDER)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = gdshare("audit", run, site[0] / "cohort", "--second", second)
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert not (run / FOLDER).exists()
    return ended.err


def test_second_films_of_another_protocol_are_refused(site, tmp_path):
    other = TEXTURED.model_copy(update={"stride": 4})
    said = refusal(site, tmp_path, second_cohort(tmp_path, protocol=other))
    assert "stride 4 instead of 8" in said
    assert "label them with the options of the run's cohort" in said


def test_second_films_of_too_few_patients_are_refused(site, tmp_path):
    second = second_cohort(tmp_path, keep=lambda number: number < 12)
    said = refusal(site, tmp_path, second)
    assert "a line-up needs 5 of each of the same diagnosis" in said


def test_copies_of_the_cohorts_own_films_are_no_second_films(site, tmp_path):
    """Named and stored otherwise, with another outline."""
    second = second_cohort(tmp_path, exposure=0)
    assert "films that are films of the run's cohort too: 40" in refusal(site, tmp_path, second)


def test_single_copy_among_second_films_is_refused(site, tmp_path):
    films = tmp_path / "films-second"
    table = write_textured_films(films, exposure=1)
    copied = next(film.image for film in site[1].films_of("test"))
    (films / copied.name).write_bytes(copied.read_bytes())
    label_cohort(table, tmp_path / "second", TEXTURED)
    said = refusal(site, tmp_path, tmp_path / "second")
    assert "films that are films of the run's cohort too: 1" in said


def test_second_film_with_another_diagnosis_is_refused(site, tmp_path):
    table = write_textured_films(tmp_path / "films-second", exposure=1)
    text = table.read_text(encoding="utf-8")
    patient = site[1].films_of("train")[0]
    now, then = ("positive", "negative") if patient.positive else ("negative", "positive")
    lines = [
        line.replace(now, then) if line.startswith(f"{patient.patient},") else line
        for line in text.splitlines()
    ]
    table.write_text("\n".join(lines), encoding="utf-8")
    label_cohort(table, tmp_path / "second", TEXTURED)
    said = refusal(site, tmp_path, tmp_path / "second")
    assert "another diagnosis than in the run's cohort: 1" in said
    assert patient.patient not in said


def test_film_without_second_is_no_film_of_nobody(site, tmp_path):
    """Strangers in the second cohort are passed over."""
    table = write_textured_films(tmp_path / "films-second", patients=60, exposure=1)
    label_cohort(table, tmp_path / "second", TEXTURED)
    found = open_second(site[1], open_cohort(tmp_path / "second"))
    assert sorted(found.of) == list(range(40))


def test_attack_that_cannot_pick_the_few_of_its_control_is_not_reported(tmp_path):
    """Films that are alike but for noise: the control does not fire, and no bundle has it."""
    alike = small_cohort(tmp_path, 40)
    settings = Settings(outer_steps=6, batch=60, seed=3, feature_patches=60, score_patches=20)
    distill(alike, tmp_path / "run", settings)
    audited = audit_run(tmp_path / "run", alike)
    result = result_of(tmp_path / "run")
    assert result.counts == (NAME in {attack.name for attack in audited.attacks})
    assert result.lineup.low <= 1 / result.lineup.people
