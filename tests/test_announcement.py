"""An announcement says what its signer wrote, and has the weights that it names."""

import json

import pytest
from announcement_kit import of_model, of_number, sent

from gdshare.announcement import FILE, WEIGHTS, is_shared_model, number_of, read_announcement
from gdshare.errors import AnnouncementError, UsageError
from gdshare.signing import new_key

KEY = new_key()


@pytest.mark.parametrize("start", [of_model(KEY), of_number(KEY)], ids=["model", "number"])
def test_announcement_is_read_as_it_was_sent(tmp_path, start):
    folder = sent(tmp_path / "a", start)
    assert read_announcement(folder, KEY.public_key()) == start
    assert read_announcement(folder) == start
    assert (folder / WEIGHTS).exists() == (start.weights is not None)


def test_shared_model_is_told_from_a_drawn_theta0_by_its_number():
    model, drawn = of_model(KEY), of_number(KEY)
    assert is_shared_model(model.theta0_sha256, model.announcement.number)
    assert not is_shared_model(drawn.theta0_sha256, drawn.announcement.number)
    assert not is_shared_model(None, 0)
    assert 0 <= number_of("f" * 64) == 2**63 - 1


def test_announcement_of_another_key_is_refused(tmp_path):
    folder = sent(tmp_path / "a", of_model(new_key()))
    with pytest.raises(AnnouncementError, match=r"not a sound announcement \(WrongKey\)"):
        read_announcement(folder, KEY.public_key())


def test_one_changed_byte_of_the_weights_is_refused(tmp_path):
    folder = sent(tmp_path / "a", of_model(KEY))
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(AnnouncementError, match="not the weights that were announced"):
        read_announcement(folder)


def test_announcement_without_its_weights_is_refused(tmp_path):
    folder = sent(tmp_path / "a", of_model(KEY))
    (folder / WEIGHTS).unlink()
    with pytest.raises(AnnouncementError, match="copy the whole folder"):
        read_announcement(folder)


def test_changed_statement_is_refused(tmp_path):
    folder = sent(tmp_path / "a", of_number(KEY))
    mine, other = (json.loads(of_number(KEY, number).signed) for number in (7, 8))
    texts = [part["dsseEnvelope"]["payload"].encode() for part in (mine, other)]
    (folder / FILE).write_bytes((folder / FILE).read_bytes().replace(*texts))
    with pytest.raises(AnnouncementError, match=r"not a sound announcement \(BadSignature\)"):
        read_announcement(folder, KEY.public_key())


@pytest.mark.parametrize(
    "start",
    [of_model(KEY, number=3), of_number(KEY, weights="0" * 64)],
    ids=["a model with a number to draw from", "a number with weights"],
)
def test_number_and_weights_that_contradict_each_other_are_refused(tmp_path, start):
    folder = sent(tmp_path / "a", start)
    with pytest.raises(AnnouncementError, match="its number and its weights do not go together"):
        read_announcement(folder, KEY.public_key())


def test_anything_else_is_no_announcement(tmp_path):
    with pytest.raises(AnnouncementError, match="no announcement here"):
        read_announcement(tmp_path)
    for content in (b"", b"{}", b"[" * 10_000, b"\xff" * 20_000):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(AnnouncementError):
            read_announcement(tmp_path)


def test_nothing_is_overwritten(tmp_path):
    sent(tmp_path / "a", of_number(KEY))
    with pytest.raises(UsageError, match="is there already"):
        sent(tmp_path / "a", of_number(KEY, 8))
