from pathlib import Path

import pytest

from gdshare.storage import append, new_folder, replacing, write_bytes, write_json


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_fault_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def break_off():
        with replacing(path) as stream:
            stream.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_is_set(tmp_path):
    write_bytes(tmp_path / "secret", b"x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_json_that_has_no_standard_form_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_folder_appears_with_all_its_files_and_its_mode(tmp_path):
    with new_folder(tmp_path / "above" / "new", 0o700) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(b"x")
        assert not (tmp_path / "above" / "new").exists()
    assert (tmp_path / "above" / "new" / "inner" / "file").read_bytes() == b"x"
    assert (tmp_path / "above" / "new").stat().st_mode & 0o777 == 0o700
    assert names(tmp_path / "above") == ["new"]


def test_every_file_of_a_folder_is_flushed_before_its_name_appears(tmp_path, monkeypatch):
    flushed = []

    def fsync(descriptor):
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        assert not (tmp_path / "new").exists() or flushed[-1] == tmp_path.name

    monkeypatch.setattr("gdshare.storage.os.fsync", fsync)
    with new_folder(tmp_path / "new") as folder:
        (folder / "a.npy").write_bytes(b"x")
        (folder / "b.npy").write_bytes(b"x")
    assert {"a.npy", "b.npy"} < set(flushed)
    assert flushed[-1] == tmp_path.name


def test_folder_that_breaks_off_leaves_nothing(tmp_path):
    def break_off():
        with new_folder(tmp_path / "new") as folder:
            (folder / "file").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("early", [True, False])
def test_folder_with_content_is_never_replaced(tmp_path, early):
    def occupy():
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "old").write_bytes(b"old")

    def make():
        with new_folder(tmp_path / "new") as folder:
            (folder / "file").write_bytes(b"x")
            if not early:
                occupy()

    if early:
        occupy()
    with pytest.raises(FileExistsError):
        make()
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["old"]


def test_empty_folder_is_replaced(tmp_path):
    (tmp_path / "new").mkdir()
    with new_folder(tmp_path / "new") as folder:
        (folder / "file").write_bytes(b"x")
    assert names(tmp_path / "new") == ["file"]


def test_line_is_added_and_what_a_kill_left_is_cut_off(tmp_path):
    path = tmp_path / "log"
    append(path, b"one\n", mode=0o600)
    append(path, b"two\n")
    append(path, b"three\n", length=len(b"one\n"))
    assert path.read_bytes() == b"one\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o600
