"""Reading a stranger's folder: one trick a test."""

import os
import socket
import threading

import pytest
from bundle_factory import sound

from gdshare.bundle import read_folder
from gdshare.bundle.errors import ExtraFile, MissingFile, NotAPlainFile, UnreadableBundle
from gdshare.bundle.layout import BOUNDS
from gdshare.signing.errors import Oversized


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "st-mary-1"
    place.mkdir()
    for name, content in sound().items():
        (place / name).write_bytes(content)
    return place


def test_a_missing_file(folder):
    (folder / "preview.png").unlink()
    with pytest.raises(MissingFile, match="preview"):
        read_folder(folder)


@pytest.mark.parametrize(
    "name", ["x", ".hidden", "gdshare.json.bak", "GDSHARE.JSON", "\n", "ä\x1b"]
)
def test_an_extra_file(folder, name):
    (folder / name).write_bytes(b"")
    with pytest.raises(ExtraFile) as caught:
        read_folder(folder)
    assert str(caught.value).isprintable()


def test_a_name_that_is_not_utf8(folder):
    with open(os.fsencode(folder) + b"/\xff\xfe", "wb"):  # noqa: PTH123
        pass
    with pytest.raises(ExtraFile) as caught:
        read_folder(folder)
    str(caught.value).encode()


def test_an_extra_subfolder(folder):
    (folder / "more").mkdir()
    with pytest.raises(ExtraFile, match="more"):
        read_folder(folder)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_an_oversized_file_is_not_read(folder, name):
    with (folder / name).open("wb") as stream:
        stream.truncate(2**40)  # sparse: takes no room on the disk, and reading it would show
    with pytest.raises(Oversized, match=name.replace(".", r"\.")):
        read_folder(folder)


def test_a_link_to_a_good_file(folder):
    (folder / "README.md").rename(folder.parent / "README.md")
    (folder / "README.md").symlink_to(folder.parent / "README.md")
    with pytest.raises(NotAPlainFile, match=r"README\.md"):
        read_folder(folder)


def test_a_dangling_link(folder):
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/nowhere")
    with pytest.raises(NotAPlainFile):
        read_folder(folder)


def test_a_link_to_a_device(folder):
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/dev/zero")
    with pytest.raises(NotAPlainFile):
        read_folder(folder)


def test_a_folder_in_a_file_s_place(folder):
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    with pytest.raises(NotAPlainFile):
        read_folder(folder)


def test_a_pipe_does_not_make_the_reader_wait(folder):
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")
    with pytest.raises(NotAPlainFile):
        read_folder(folder)


def test_a_socket(folder, tmp_path, monkeypatch):
    (folder / "README.md").unlink()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("README.md")
        with pytest.raises(NotAPlainFile):
            read_folder(folder)


def test_a_file_swapped_for_a_link_while_it_is_read(folder):
    target, link = folder / "README.md", folder.parent / "link"
    good = target.read_bytes()
    link.symlink_to("/etc/hostname")
    stop = threading.Event()

    def swap():
        spare = folder.parent / "spare"
        while not stop.is_set():
            spare.write_bytes(good)
            spare.replace(target)
            fresh = folder.parent / "fresh"
            fresh.symlink_to("/etc/hostname")
            fresh.replace(target)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(200):
            try:
                assert read_folder(folder)["README.md"] == good
            except (NotAPlainFile, UnreadableBundle, MissingFile):
                continue
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("place", ["nowhere", "st-mary-1/README.md"])
def test_a_path_that_is_no_folder(folder, place):
    with pytest.raises(UnreadableBundle):
        read_folder(folder.parent / place)
