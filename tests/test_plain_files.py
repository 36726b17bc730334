"""A file that somebody else put there is read whole and within its bound, or refused at once."""

import os
import re
from pathlib import Path

import pytest

from gdshare.errors import FilmError
from gdshare.films import read_film, read_mask
from gdshare.films.outlines import read_annotations
from gdshare.films.signature import is_dicom
from gdshare.plain_files import read_plain


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_pipe_folder_and_device_are_refused_without_waiting(tmp_path, make):
    make(tmp_path / "file")
    with pytest.raises(OSError, match="not a plain file"):
        read_plain(tmp_path / "file", 100)


def test_link_is_followed_only_where_its_reader_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert read_plain(tmp_path / "link", 1) == b"x"
    with pytest.raises(OSError, match="not a plain file"):
        read_plain(tmp_path / "link", 1, follow=False)


def test_file_beyond_its_bound_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as stream:
        stream.truncate(2**40)  # a hole, larger than any memory
    with pytest.raises(OSError, match="larger than 100 bytes"):
        read_plain(path, 100)
    path.write_bytes(b"x" * 100)
    assert read_plain(path, 100) == b"x" * 100


def test_pipe_that_takes_the_files_place_after_it_was_looked_at_is_refused(tmp_path, monkeypatch):
    path, original = tmp_path / "file", os.open
    path.touch()

    def swapped(name, flags):
        path.unlink()
        os.mkfifo(path)
        return original(name, flags)

    monkeypatch.setattr("gdshare.plain_files.os.open", swapped)
    with pytest.raises(OSError, match="not a plain file"):
        read_plain(path, 100)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".dcm", ".json", ".xml", ".geojson"])
def test_pipe_or_device_in_a_films_or_an_outlines_place_is_refused(tmp_path, make, suffix):
    path = tmp_path / f"film{suffix}"
    make(path)
    for read in (read_film, lambda path: read_mask(path, (8, 8)), read_annotations):
        with pytest.raises(FilmError, match="not a plain file"):
            read(path)
    assert not is_dicom(path)


OWN = {
    "gdshare/cli/reproduce.py",  # studies of this checkout, and what they just wrote
    "gdshare/films/burned_in/network.py",  # weights of the package
    "gdshare/local_page/assets.py",  # pages of the package
    "gdshare/deploy/template.py",  # templates of the packages
    "aggregator/aggregate_command.py",  # what this round wrote itself
    "aggregator/flower/submit.py",
    "aggregator/flower/processes.py",  # /proc
    "aggregator/trial/votes.py",
    "aggregator/trial/run.py",
    "aggregator/trial/hospital.py",
    "gdshare/storage.py",  # flushes what was just written
}
"""Modules that read only what gdshare brought or wrote itself a moment ago."""
READERS = re.compile(r"""\.read_bytes\(|\.read_text\(|\.open\(\s*"r|\.open\((newline|encoding)""")


def test_every_other_module_reads_files_through_the_one_reader():
    root = Path(__file__).parent.parent
    packages = ("gdshare", "aggregator", "hospital_node")
    names = {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for package in packages
        for path in (root / package).rglob("*.py")
    }
    readers = {name for name, text in names.items() if READERS.search(text)}
    assert readers <= OWN
    assert len(names) > 200
