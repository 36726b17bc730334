import base64
import json
import os
import signal
import subprocess
import sys
import time
from shlex import quote

import pytest
from command_kit import gdshare
from dicom_kit import NAME, gradient, radiograph, save
from orthanc_kit import PASSWORD, USER

from gdshare.store import open_store


@pytest.fixture
def folder(tmp_path):
    """Two films, one whose header says NO, a colour image and a text file."""
    folder = tmp_path / "dicom"
    folder.mkdir()
    save(radiograph(gradient(), BurnedInAnnotation="NO"), folder / "0.dcm")
    save(radiograph(gradient()), folder / "1.dcm")
    save(radiograph(gradient(), SamplesPerPixel=3), folder / "2.dcm")
    (folder / "note.txt").write_text("for Jane Doe", encoding="utf-8")
    return folder


@pytest.fixture
def login(tmp_path):
    """Options with the login to Orthanc."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    path.chmod(0o600)
    return ("--dicomweb-user", USER, "--dicomweb-password-file", path)


def put(server, tmp_path, **elements):
    dataset = radiograph(gradient(), BurnedInAnnotation="NO", **elements)
    server.put(save(dataset, tmp_path / "sent.dcm"))


def test_folder_is_imported_and_the_outcomes_are_printed(folder, tmp_path):
    run = gdshare("import", folder, "--out", tmp_path / "store")
    assert run.status == 0
    numbers = next(line for line in run.out.splitlines() if line.startswith("│"))
    assert [cell.strip() for cell in numbers.strip("│").split("│")] == list("11011")
    assert f"identities  {tmp_path / 'store-identities.csv'}" in run.out
    assert f"gdshare review {quote(str(tmp_path / 'store'))}" in run.out
    assert run.err.startswith("refused  ")
    assert f"left out  1  not DICOM: {folder / 'note.txt'}\n" in run.err
    held = "its header does not say whether text is burned into the image: f-"
    assert f"held  1  {held}" in run.err
    assert "2.dcm: is not gray-scale" in run.err
    assert len(open_store(tmp_path / "store").names()) == 2


def test_result_is_available_as_json(folder, tmp_path):
    words = ("import", folder, "--out", tmp_path / "store", "--json")
    gdshare(*words)
    result = json.loads(gdshare(*words).out)
    assert result["counts"] == {"known": 2, "refused": 1, "not DICOM": 1}
    assert [refused["file"] for refused in result["refused"]] == [str(folder / "2.dcm")]
    assert result["left_out"] == [
        {"file": str(folder / "note.txt"), "kind": "not DICOM", "reason": "not DICOM"}
    ]


def test_thousands_of_files_left_out_fill_no_screen_and_are_all_in_the_json(folder, tmp_path):
    for number in range(1, 2000):
        (folder / f"note{number:04}.txt").touch()
    (folder / "link.dcm").symlink_to(folder / "0.dcm")
    words = ("import", folder, "--out", tmp_path / "store")
    run = gdshare(*words)
    assert "left out  1999  an empty file: " in run.err
    assert "note0003.txt and 1996 more; --json lists all" in run.err
    assert "left out  1  a symbolic link, not followed" in run.err
    assert len(run.err.splitlines()) < 8
    left_out = json.loads(gdshare(*words, "--json").out)["left_out"]
    assert len(left_out) == 2001
    assert {entry["kind"] for entry in left_out} == {"not DICOM", "not followed"}


def test_held_films_are_named_with_their_reasons_and_without_their_files(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    dark = {"WindowCenter": None, "WindowWidth": None, "BurnedInAnnotation": "NO"}
    save(radiograph(gradient(12), 16, **dark), folder / "dark.dcm")
    save(radiograph(gradient(16), 16, **dark), folder / "sound.dcm")
    run = gdshare("import", folder, "--out", tmp_path / "store", "--json")
    (held,) = json.loads(run.out)["held"]
    reason = "its pixels use less than 25% of the range from black to white"
    assert held == {"film": held["film"], "reasons": [reason]}
    record = open_store(tmp_path / "store").record(held["film"])
    assert (record.state, record.reasons) == ("held", (reason,))
    run = gdshare("import", folder, "--out", tmp_path / "other")
    assert f"held  1  {reason}: f-" in run.err
    assert "dark.dcm" not in run.err


@pytest.mark.parametrize("json_option", [(), ("--json",)])
def test_import_of_nothing_is_an_error_that_says_why(tmp_path, json_option):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "export.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    run = gdshare("import", folder, "--out", tmp_path / "store", *json_option)
    assert run.status == 2
    assert f"{folder}: no film was imported; see the reasons above" in run.err
    assert "an archive (unpack it and import the folder)" in run.out + run.err


def test_import_of_an_empty_folder_is_an_error(tmp_path):
    (tmp_path / "export").mkdir()
    run = gdshare("import", tmp_path / "export", "--out", tmp_path / "store")
    assert run.status == 2
    assert "no film was imported" in run.err


def test_second_import_of_the_same_films_is_no_error(folder, tmp_path):
    words = ("import", folder, "--out", tmp_path / "store")
    assert [gdshare(*words).status for _ in range(2)] == [0, 0]


def test_store_inside_the_imported_folder_is_passed_over(folder):
    words = ("import", folder, "--out", folder / "store", "--json")
    first, second = (json.loads(gdshare(*words).out) for _ in range(2))
    assert len(first["left_out"]) == len(second["left_out"]) == 1
    assert second["counts"] == {"known": 2, "refused": 1, "not DICOM": 1}


def test_border_and_boxes_are_blacked_out(folder, tmp_path):
    options = ("--crop-border", 2, "--mask-boxes", "10,10,20,20", "--mask-boxes", "0,30,9,40")
    assert gdshare("import", folder, "--out", tmp_path / "store", *options).status == 0
    store = open_store(tmp_path / "store")
    for film in store.films():
        pixels = store.pixels(film).pixels
        assert not pixels[10:20, 10:20].any()
        assert not pixels[30:40, 0:9].any()
        assert not pixels[:2].any()
        assert pixels[25, 25]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to import; give a folder of DICOM files, a table of films, or --dicomweb"),
        ((".", "--organ", "lung"), "--organ: is for a table of films"),
        (("none",), "none: no such folder"),
        ((".", "--since", "2024-01-01"), "give PACS options only with --dicomweb"),
        ((".", "--dicomweb", "https://pacs/rs"), "a folder and --dicomweb exclude each other"),
        (("--dicomweb", "http://pacs/rs"), "unencrypted"),
        (("--dicomweb", "https://node:s3cret@pacs/rs"), "--dicomweb-password-file"),
        (("--dicomweb", "https://pacs/rs", "--dicomweb-user", "node"), "give both"),
        (
            ("--dicomweb", "https://pacs/rs", "--since", "2024-02-01", "--until", "2024-01-01"),
            "--since 2024-02-01 is after --until 2024-01-01",
        ),
        (("--dicomweb", "https://pacs/rs", "--since", "yesterday"), "--since"),
    ],
)
def test_contradictory_command_is_refused_before_a_store_is_made(words, message, tmp_path):
    run = gdshare("import", *words, "--out", tmp_path / "store")
    assert run.status == 2
    assert message in run.err
    assert run.err.count("\n") == 1
    assert "s3cret" not in run.err
    assert not (tmp_path / "store").exists()


def test_pacs_is_imported_by_date_and_modality(server, login, tmp_path):
    put(server, tmp_path, StudyDate="20240115")
    put(server, tmp_path, StudyDate="20240115", Modality="DX")
    put(server, tmp_path, StudyDate="20240115", Modality="RF")
    put(server, tmp_path, StudyDate="20240215")
    words = ("import", "--dicomweb", server.url, *login, "--out", tmp_path / "store", "--json")
    january = ("--since", "2024-01-01", "--until", "2024-01-31")
    assert json.loads(gdshare(*words, *january).out)["counts"] == {"released": 2}
    run = gdshare(*words, *january, "--modality", "RF", "--modality", "CR")
    assert json.loads(run.out)["counts"] == {"known": 1, "released": 1}
    assert json.loads(gdshare(*words).out)["counts"] == {"known": 2, "released": 1}


def test_import_from_a_pacs_leaves_only_the_store_and_the_identities(server, login, tmp_path):
    put(server, tmp_path)
    (tmp_path / "sent.dcm").unlink()
    gdshare("import", "--dicomweb", server.url, *login, "--out", tmp_path / "store")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".store-identities.csv.lock", "password", "store", "store-identities.csv"]
    for path in (tmp_path / "store").rglob("*.*"):
        assert NAME.encode() not in path.read_bytes()


def test_password_is_in_no_output(server, login, tmp_path):
    put(server, tmp_path, SamplesPerPixel=3)
    words = ("--debug", "import", "--out", tmp_path / "store", *login, "--dicomweb")
    addresses = (server.url, f"{server.root}/nowhere", server.url.replace("dicom-web", "wado"))
    runs = [gdshare(*words, url) for url in addresses]
    (tmp_path / "password").write_text("guessed-wrong", encoding="utf-8")
    runs.append(gdshare(*words, server.url))
    everything = "".join(run.out + run.err for run in runs)
    assert "Traceback" in everything
    assert "rejects the login (401)" in everything
    for secret in (PASSWORD, "guessed-wrong"):
        assert secret not in everything
        assert base64.b64encode(f"{USER}:{secret}".encode()).decode() not in everything
    for path in (tmp_path / "store").rglob("*.*"):
        assert PASSWORD.encode() not in path.read_bytes()


def test_killed_command_continues_where_it_was(server, login, tmp_path):
    films = 12
    for number in range(films):
        put(server, tmp_path, PatientID=str(number))
    words = ["import", "--dicomweb", server.url, *login, "--out", tmp_path / "store", "--json"]
    before = server.retrieved()
    process = subprocess.Popen(
        [sys.executable, "-m", "gdshare", *map(str, words)],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while server.retrieved() < before + 4 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(open_store(tmp_path / "store").names())
    assert 0 < finished < films
    retrieved = server.retrieved()
    counts = json.loads(gdshare(*words).out)["counts"]
    assert counts == {"known": finished, "released": films - finished}
    assert server.retrieved() - retrieved == films - finished
    assert len(open_store(tmp_path / "store").names()) == films
    assert not (tmp_path / "store-arriving.dcm").exists()
