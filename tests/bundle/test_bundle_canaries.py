"""Nothing of a patient, a path or the run's seed leaves in a published bundle."""

import json
import socket
from pathlib import Path

import pytest
import typer
from bundle_factory import distilled, png_chunk
from bundle_run_kit import keep_score, run_record
from typer.testing import CliRunner

from gdshare.audit.leaks import SHORTEST, search
from gdshare.bundle import next_sequence, read_folder
from gdshare.cli import publish
from gdshare.cli.operator import operator_name
from gdshare.method import Settings
from gdshare.signing import write_key_pair
from gdshare.storage import write_json

GOLDEN = Path(__file__).parent / "golden" / "gdshare-bundle-1.0" / "st-mary-1"
SEED = 0x4C41_5242_4541_4753
SCORE = 0.6180339871
PASSPHRASE = "canary-passphrase-Quokka"
WORDS = {
    "patient": "canary-patient-0815-Wombat",
    "file": "canary-film-Numbat.png",
    "mask": "canary-mask-Bilby.png",
    "cohort": "canary-cohort-Dunnart",
    "run": "canary-run-Potoroo",
    "outbox": "canary-outbox-Quenda",
    "keys": "canary-keys-Bettong",
    "config": "canary-config-Kowari",
    "machine": "canary-machine-Mulgara",
    "picture": "canary-picture-Ningaui",
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run in which every word above stands somewhere."""
    cohort = tmp_path / WORDS["cohort"]
    run = cohort / WORDS["patient"] / WORDS["run"]
    (run / "checkpoints").mkdir(parents=True)
    record = run_record(
        Settings(
            network="resnet18",
            seed=SEED,
            epochs=1,
            steps=2,
            score_every=7_654_321,
            score_patches=8_765_432,
            checkpoint_every=9_876_543,
        ),
        torch=WORDS["machine"],
        device=f"cuda on {WORDS['machine']}",
    )
    write_json(run / "run.json", record.model_dump(mode="json"))
    (run / "distilled.safetensors").write_bytes(distilled().to_bytes())
    keep_score(run, distilled())
    (run / "preview.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt", b"Comment\0" + WORDS["picture"].encode())
    )
    table = f"patient,image,mask\n{WORDS['patient']},{WORDS['file']},{WORDS['mask']}\n"
    (cohort / "labels.csv").write_text(table, encoding="utf-8")
    for place in ("config.toml", "metrics.jsonl", "checkpoints/1.json", "README.md", "notes.txt"):
        everything = {**WORDS, "seed": SEED, "score": SCORE, "films": table}
        (run / place).write_text(json.dumps(everything), encoding="utf-8")
    return run


def published_files(run: Path, tmp_path: Path) -> dict[str, bytes]:
    private, _ = write_key_pair(tmp_path / WORDS["keys"], "st-mary", PASSPHRASE.encode())
    outbox = tmp_path / WORDS["outbox"]
    app = typer.Typer()
    publish.register(app)
    arguments = [str(run), "--key", str(private), "--outbox", str(outbox), "--site", "st-mary"]
    environment = {"GDSHARE_PASSPHRASE": PASSPHRASE}
    CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False)
    assert next_sequence(outbox, "st-mary") == 2
    return read_folder(outbox / "st-mary-1")


def test_no_canary_leaves_in_a_published_bundle(run_folder, tmp_path):
    files = published_files(run_folder, tmp_path)
    own = [operator_name(), socket.gethostname(), Path.home().name, str(Path.cwd())]
    # What stands in a bundle made elsewhere, long ago, betrays nobody: a user called gdshare.
    elsewhere = read_folder(GOLDEN)
    secrets = [
        *WORDS.values(),
        *(word.rsplit("-", 1)[-1] for word in WORDS.values()),
        *(word for word in own if len(word) >= SHORTEST and not search(elsewhere, [word])),
        PASSPHRASE,
        str(tmp_path),
        SEED,
        7_654_321,
        8_765_432,
        9_876_543,
        SCORE,
    ]
    assert search(files, secrets) == []


@pytest.mark.parametrize("name", ["README.md", "gdshare.json", "preview.png", "bundle.sig"])
def test_the_same_search_would_have_found_them(run_folder, tmp_path, name):
    files = published_files(run_folder, tmp_path)
    files[name] += f" {WORDS['patient']} {SEED}".encode()
    assert {leak.secret for leak in search(files, [WORDS["patient"], SEED])} == {
        WORDS["patient"],
        SEED,
    }


def test_the_run_s_own_picture_is_not_the_one_that_leaves(run_folder, tmp_path):
    files = published_files(run_folder, tmp_path)
    assert files["preview.png"] != (run_folder / "preview.png").read_bytes()
    assert files["preview.png"].startswith(b"\x89PNG")
