import os
import stat
import struct
from pathlib import Path

import pytest

from gdshare.storage import (
    append,
    make_folder,
    new_folder,
    own_mode,
    replacing,
    write_bytes,
    write_json,
)

GROUP = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other groups")


def names(folder):
    return [path.name for path in folder.iterdir()]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.fixture
def shared(tmp_path):
    """A folder that a group shares."""
    folder = tmp_path / "shared"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, -1, GROUP)
    folder.chmod(0o2770)
    return folder


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


@pytest.mark.parametrize("bits", [0o640, 0o664, 0o600, 0o604])
def test_replaced_file_passes_on_its_mode_whatever_the_umask_and_the_writer_say(
    tmp_path, umask, bits
):
    path = tmp_path / "file"
    path.touch()
    path.chmod(bits)
    for mask, asked in ((0o077, 0o666), (0o000, 0o600)):
        umask(mask)
        write_bytes(path, b"new", asked)
        assert mode(path) == bits


@as_root
def test_replaced_file_passes_on_its_owner_and_group(tmp_path):
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 12_345, GROUP)
    write_bytes(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12_345, GROUP)


def test_group_that_cannot_be_kept_does_not_leave_its_rights_to_another(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError

    path = tmp_path / "file"
    path.touch()
    path.chmod(0o664)
    monkeypatch.setattr("gdshare.storage.os.chown", refused)
    write_bytes(path, b"new")
    assert mode(path) == 0o644


def test_replaced_file_passes_on_its_access_list(tmp_path):
    path = tmp_path / "file"
    path.touch()
    everyone = 0xFFFFFFFF
    rights = (
        (1, 6, everyone),
        (4, 0, everyone),
        (8, 6, GROUP),
        (16, 6, everyone),
        (32, 0, everyone),
    )
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *right) for right in rights)
    try:
        os.setxattr(path, "system.posix_acl_access", access_list)
    except OSError as error:
        pytest.skip(f"this file system keeps no access lists ({error.strerror})")
    write_bytes(path, b"new")
    assert os.getxattr(path, "system.posix_acl_access") == access_list


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_what_is_new_follows_the_umask(tmp_path, umask, mask, file, folder):
    umask(mask)
    write_bytes(tmp_path / "file", b"x")
    append(tmp_path / "log", b"x\n")
    with new_folder(tmp_path / "new") as aside:
        write_bytes(aside / "inner", b"x")
    assert [mode(tmp_path / name) for name in ("file", "log", "new/inner")] == [file] * 3
    assert mode(tmp_path / "new") == folder


def test_group_that_shares_a_folder_shares_what_is_made_in_it(shared, umask):
    umask(0o077)
    write_bytes(shared / "file", b"x")
    append(shared / "log", b"x\n", mode=own_mode(shared))
    make_folder(shared / "a" / "b")
    with new_folder(shared / "a" / "new") as aside:
        (aside / "inner").mkdir()
        write_bytes(aside / "inner" / "file", b"x")
    group = shared.stat().st_gid
    for name in ("file", "log", "a", "a/b", "a/new", "a/new/inner", "a/new/inner/file"):
        status = (shared / name).stat()
        assert status.st_gid == group
        assert stat.S_IMODE(status.st_mode) & 0o777 == (
            0o770 if (shared / name).is_dir() else 0o660
        )


def test_what_is_for_its_owner_alone_stays_so_in_a_shared_folder(shared):
    write_bytes(shared / "secret", b"x", mode=0o600)
    with new_folder(shared / "cohort", 0o700) as aside:
        write_bytes(aside / "file", b"x")
    assert mode(shared / "secret") == 0o600
    assert mode(shared / "cohort") & 0o777 == 0o700


@as_root
def test_empty_folder_passes_on_its_group_and_mode(tmp_path):
    path = tmp_path / "new"
    path.mkdir()
    os.chown(path, 12_345, GROUP)
    path.chmod(0o2770)
    with new_folder(path) as aside:
        write_bytes(aside / "file", b"x")
    assert (path.stat().st_gid, mode(path)) == (GROUP, 0o2770)
    assert ((path / "file").stat().st_gid, mode(path / "file")) == (GROUP, 0o664)
