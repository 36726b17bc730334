"""Whatever an import leaves out is named with its reason."""

import io
import os
import socket
import tarfile
import zipfile

import numpy as np
import pytest
from dicom_kit import gradient, radiograph, save, write
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    VideoEndoscopicImageStorage,
)

from gdshare.store import Identities, Intake, import_films, list_folder, make_store


def outcomes(folder, tmp_path):
    """Kind and reasons by file name."""
    identities = Identities(tmp_path / "who.csv", lambda: "a" * 16)
    listing = list_folder(folder)
    intake = Intake(make_store(tmp_path / "store"), identities, lambda frame: None)
    results = [*import_films(listing.files, intake), *listing.left_out]
    return {
        str(outcome.path.relative_to(folder)): (outcome.kind, outcome.reason) for outcome in results
    }


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.dcm", bytes(1000))
    return stream.getvalue()


def tarred(mode):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("a.dcm"), io.BytesIO())
    return stream.getvalue()


LEFT_OUT = {
    "note.txt": (b"for Jane Doe", "not DICOM"),
    "empty.dcm": (b"", "an empty file"),
    "annexed.dcm": (
        b"/annex/objects/SHA256E-s6824--d41d8cd9.dcm\n",
        "a placeholder of git-annex or Git LFS (fetch the file itself)",
    ),
    "large.dcm": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "a placeholder of git-annex or Git LFS (fetch the file itself)",
    ),
    "export.zip": (zipped(), "an archive (unpack it and import the folder)"),
    "no-suffix": (zipped(), "an archive (unpack it and import the folder)"),
    "export.tar": (tarred("w"), "an archive (unpack it and import the folder)"),
    "export.tar.gz": (tarred("w:gz"), "an archive (unpack it and import the folder)"),
    "export.tar.xz": (tarred("w:xz"), "an archive (unpack it and import the folder)"),
    "export.tar.bz2": (tarred("w:bz2"), "an archive (unpack it and import the folder)"),
}


def test_file_that_is_not_dicom_is_named_with_its_reason(folder, tmp_path):
    for name, (content, _) in LEFT_OUT.items():
        (folder / name).write_bytes(content)
    assert outcomes(folder, tmp_path) == {
        name: ("not DICOM", reason) for name, (_, reason) in LEFT_OUT.items()
    }


@pytest.mark.parametrize(
    "kind",
    [
        BasicTextSRStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        VideoEndoscopicImageStorage,
        EncapsulatedPDFStorage,
        CTImageStorage,
    ],
)
def test_dicom_object_that_is_no_film_is_named_by_its_kind(folder, tmp_path, kind):
    save(radiograph(gradient(), SOPClassUID=kind, PixelData=None), folder / "object.dcm")
    assert outcomes(folder, tmp_path)["object.dcm"] == (
        "not a film",
        f"{kind.name}, not a CR, DX, RF or secondary capture film",
    )


def test_index_of_a_medium_is_named(folder, tmp_path):
    dataset = radiograph(gradient(), SOPClassUID=None, SOPInstanceUID=None, PixelData=None)
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    write(dataset, folder / "DICOMDIR", ExplicitVRLittleEndian)
    assert outcomes(folder, tmp_path)["DICOMDIR"] == (
        "not a film",
        "the index of a DICOM medium (DICOMDIR), not a film",
    )


def test_links_are_named_and_not_followed(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    save(radiograph(gradient()), outside / "film.dcm")
    (folder / "file.dcm").symlink_to(outside / "film.dcm")
    (folder / "folder").symlink_to(outside)
    (folder / "annexed.dcm").symlink_to(".git/annex/objects/missing")
    (folder / "round").symlink_to(folder)
    link = ("not followed", "a symbolic link, not followed (put the file itself there)")
    assert outcomes(folder, tmp_path) == dict.fromkeys(
        ("annexed.dcm", "file.dcm", "folder", "round"), link
    )


def test_folder_that_is_a_link_itself_is_listed(folder, tmp_path):
    save(radiograph(gradient()), folder / "film.dcm")
    (tmp_path / "link").symlink_to(folder)
    assert list_folder(tmp_path / "link").files == (tmp_path / "link" / "film.dcm",)


def test_special_files_are_named_and_not_opened(folder, tmp_path):
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / "door"))
        assert outcomes(folder, tmp_path) == dict.fromkeys(
            ("door", "pipe"), ("not DICOM", "neither a file nor a folder")
        )


def test_folder_that_cannot_be_opened_is_named(folder, tmp_path, monkeypatch):
    (folder / "closed").mkdir()
    save(radiograph(gradient()), folder / "film.dcm")
    scandir = os.scandir

    def refuse(path):  # root, who runs tests in containers, may open any folder
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = outcomes(folder, tmp_path)
    assert result["closed"] == ("unreadable", "a folder that cannot be opened (Permission denied)")
    assert result["film.dcm"][0] == "held"


def test_what_the_import_writes_is_passed_over(folder):
    (folder / "sub" / "store" / "films").mkdir(parents=True)
    (folder / "sub" / "store" / "films" / "f.tif").write_bytes(b"II*\0")
    (folder / "store-identities.csv").write_text("names", encoding="utf-8")
    (folder / "film.dcm").write_bytes(b"x")
    without = {folder / "sub" / "store", folder / "store-identities.csv"}
    assert list_folder(folder, without).files == (folder / "film.dcm",)


def test_film_without_preamble_is_imported(folder, tmp_path):
    dataset = radiograph(gradient(), BurnedInAnnotation="NO")
    content = save(dataset, folder / "film.dcm", ImplicitVRLittleEndian).read_bytes()
    (folder / "film.dcm").write_bytes(content[132:])
    assert outcomes(folder, tmp_path)["film.dcm"] == ("released", "")


def test_damaged_film_is_refused_and_not_left_out(folder, tmp_path):
    path = save(radiograph(np.zeros((48, 40), np.uint16)), folder / "film.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    kind, reason = outcomes(folder, tmp_path)["film.dcm"]
    assert kind == "refused"
    assert reason.startswith(f"{path}: ")
