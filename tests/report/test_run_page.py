import json

from audit_kit import SILENT, write_attacks
from bundle_run_kit import make_run
from command_kit import gdshare
from private_run_kit import give_guarantee

from gdshare.bundle.attacks import Attack
from gdshare.distill.run_folder import read_result

LOSS = Attack(name="membership-loss/1", figure=0.625, low=0.55, high=0.75, unrelated=0.5)


def finished(folder):
    """A run with the scores of its training."""
    run = make_run(folder / "run")
    lines = [{"step": 25, "score": 0.5}, {"step": 26, "loss": 1.0}, {"step": 50, "score": 0.6}]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return run


def test_the_page_of_a_run_says_what_its_images_teach_and_that_nobody_attacked_them(tmp_path):
    run = finished(tmp_path)
    ended = gdshare("report", run, "--json", check=True)
    assert json.loads(ended.out) == {"page": str(run / "report.html")}
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "teach a network to call 60% of patches right, better than guessing (33%)" in html
    assert "Not attacked before they left: run (gdshare audit)" in html
    assert '<th scope="row">outer_steps</th>' in html
    assert '<th scope="row">seed</th>' not in html


def test_page_of_a_run_under_a_guarantee_gives_no_count_as_exact_and_no_patient_a_score(tmp_path):
    run = finished(tmp_path)
    give_guarantee(run)
    gdshare("report", run, check=True)
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "distilled from about 648 patches of about 41 patients" in html
    assert "(ε 7.998, δ 1e-05)-differential privacy of each training patient" in html
    assert "60% of surrogates (not patches) right" in html
    assert "its counts are exact" not in html


def test_attacks_that_were_made_are_on_it(tmp_path):
    run = finished(tmp_path)
    write_attacks(run, read_result(run), (LOSS,))
    gdshare("report", run, "--out", tmp_path / "page.html", check=True)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "0.625 [0.550, 0.750]" in html
    assert "Not attacked" not in html
    assert not (run / "report.html").exists()


def test_attack_whose_control_did_not_fire_is_named_and_has_no_figure_on_it(tmp_path):
    run = finished(tmp_path)
    nothing = LOSS.model_copy(update={"low": 0.4})
    write_attacks(run, read_result(run), (nothing,), SILENT)
    gdshare("report", run, "--out", tmp_path / "page.html", check=True)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "and so count for nothing: membership-loss/1." in html
    assert "0.625" not in html


def test_what_is_no_folder_of_ours_is_refused(tmp_path):
    ended = gdshare("report", tmp_path)
    assert ended.status == 2
    assert "no run here" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_was_cut_short_is_refused(tmp_path):
    run = finished(tmp_path)
    (run / "metrics.jsonl").write_text('{"step": 25, "sco')
    ended = gdshare("report", run)
    assert ended.status == 2
    assert "metrics.jsonl: cannot be read" in ended.err
    assert not (run / "report.html").exists()


def test_a_run_without_any_score_is_refused(tmp_path):
    run = finished(tmp_path)
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    ended = gdshare("report", run)
    assert ended.status == 2
    assert "has no score of any step" in ended.err


def test_the_page_that_a_demo_made_is_not_replaced_by_a_poorer_one(tmp_path):
    for name in ("trial.json", "report.html"):
        (tmp_path / name).write_text("{}")
    ended = gdshare("report", tmp_path)
    assert ended.status == 2
    assert (
        "report.html: is there, and may show films that this command does not know of" in ended.err
    )
    assert (tmp_path / "report.html").read_text() == "{}"
