"""Places: only values that are one word in a unit, a script and a proxy's configuration."""

from contextlib import suppress
from pathlib import Path

import pytest

from gdshare.deploy.place import AbsolutePath, Place, UserName, new_place
from gdshare.errors import UsageError


class Shed(Place):
    state: AbsolutePath = Path("/var/lib/shed")
    logs: AbsolutePath = Path("/var/log/shed")
    user: UserName = "shed"


@pytest.mark.parametrize(
    "path", ["relative", "/srv/a b", "/srv/a;b", "/srv/$(id)", "/srv/a\nUser=root", "/srv/'", "/ü"]
)
def test_path_that_would_be_more_than_one_word_is_refused_by_its_option(path):
    with pytest.raises(UsageError, match="--work"):
        Shed.of(work=Path(path))


@pytest.mark.parametrize("user", ["", "Root", "root; id", "a" * 33, "-u"])
def test_user_that_would_be_more_than_a_name_is_refused(user):
    with pytest.raises(UsageError, match="--user"):
        Shed.of(user=user)


def test_value_that_nobody_asked_for_is_refused():
    with pytest.raises(UsageError, match="--other-thing"):
        Shed.of(other_thing="x")


def test_every_value_is_there_for_the_templates():
    assert Shed.of(folder=Path("/etc/shed")).values() == {
        "folder": "/etc/shed",
        "work": "/srv/gdshare",
        "state": "/var/lib/shed",
        "logs": "/var/log/shed",
        "bin": "/opt/gdshare/bin",
        "user": "shed",
    }


def test_folder_that_holds_something_stays_as_it_is(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "ca.key").write_bytes(b"a key")
    with (
        pytest.raises(UsageError, match="never overwritten"),
        new_place(tmp_path / "etc") as folder,
    ):
        (folder / "ca.key").write_bytes(b"another")
    assert (tmp_path / "etc" / "ca.key").read_bytes() == b"a key"


def test_folder_that_was_not_finished_is_not_there(tmp_path):
    with suppress(EOFError), new_place(tmp_path / "etc") as folder:
        (folder / "ca.key").write_bytes(b"a key")
        raise EOFError
    assert list(tmp_path.iterdir()) == []
