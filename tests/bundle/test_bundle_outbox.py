"""The outbox: whole bundles or none, never one over another."""

import multiprocessing
import threading
from pathlib import Path

import pytest
from bundle_factory import distilled, key, manifest, png, sound

from gdshare.bundle import build_files, next_sequence, published, read_folder, write_bundle
from gdshare.bundle.errors import AlreadyPublished, ExtraFile, MissingFile
from gdshare.errors import UsageError


def numbered(sequence, level=9):
    return build_files(manifest(sequence=sequence), distilled(), png(level=level), key())


def test_the_first_number_is_one(tmp_path):
    assert next_sequence(tmp_path / "not yet there", "st-mary") == 1


def test_the_next_number_follows_the_highest(tmp_path):
    for sequence in (2, 10, 9):
        write_bundle(tmp_path, numbered(sequence))
    assert next_sequence(tmp_path, "st-mary") == 11
    assert next_sequence(tmp_path, "st-mar") == 1
    assert [path.name for path in published(tmp_path)] == ["st-mary-2", "st-mary-9", "st-mary-10"]


def test_sites_that_end_in_numbers_are_told_apart(tmp_path):
    (tmp_path / "a-1-7").mkdir()
    assert next_sequence(tmp_path, "a-1") == 8
    assert next_sequence(tmp_path, "a") == 1


def test_unfinished_and_foreign_folders_are_passed_over(tmp_path):
    for name in (".st-mary-9.x1", "st-mary-0", "st-mary-x", "notes", "st-mary-03"):
        (tmp_path / name).mkdir()
    assert published(tmp_path) == ()


def test_a_published_bundle_is_never_overwritten(tmp_path):
    folder = write_bundle(tmp_path, sound())
    with pytest.raises(AlreadyPublished, match="st-mary-1"):
        write_bundle(tmp_path, numbered(1, level=1))
    assert read_folder(folder) == sound()
    assert [path.name for path in tmp_path.iterdir()] == ["st-mary-1"]


def test_a_file_in_the_way_is_not_overwritten(tmp_path):
    (tmp_path / "st-mary-1").write_bytes(b"precious")
    with pytest.raises(AlreadyPublished):
        write_bundle(tmp_path, sound())
    assert (tmp_path / "st-mary-1").read_bytes() == b"precious"


def test_a_crash_while_writing_leaves_nothing_that_looks_published(tmp_path, monkeypatch):
    def fail(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path, sound())
    assert list(tmp_path.iterdir()) == []


def test_other_files_never_enter_the_outbox(tmp_path):
    with pytest.raises(ExtraFile):
        write_bundle(tmp_path, sound() | {"../evil": b""})
    with pytest.raises(MissingFile):
        write_bundle(tmp_path, {"gdshare.json": sound()["gdshare.json"]})
    assert list(tmp_path.iterdir()) == []


def test_an_outbox_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((UsageError, AlreadyPublished)):
        write_bundle(tmp_path / "file" / "outbox", sound())


def publish_all(outbox, files, barrier, report):
    barrier.wait()
    for content in files:
        try:
            write_bundle(outbox, content)
            report("won")
        except AlreadyPublished:
            report("lost")


def test_of_threads_that_publish_one_number_at_once_exactly_one_wins(tmp_path):
    versions = [numbered(1, level=level) for level in range(4)]
    barrier, results = threading.Barrier(4), []
    threads = [
        threading.Thread(target=publish_all, args=(tmp_path, [version], barrier, results.append))
        for version in versions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["lost"] * 3 + ["won"]
    assert [path.name for path in tmp_path.iterdir()] == ["st-mary-1"]
    assert read_folder(tmp_path / "st-mary-1") in versions


def test_of_processes_that_publish_the_same_numbers_at_once_one_wins_each(tmp_path):
    context = multiprocessing.get_context("spawn")
    numbers = [numbered(sequence) for sequence in range(1, 11)]
    results, barrier = context.SimpleQueue(), context.Barrier(3)
    workers = [
        context.Process(target=publish_all, args=(tmp_path, numbers, barrier, results.put))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert sorted(results.get() for _ in range(30)) == ["lost"] * 20 + ["won"] * 10
    assert len(published(tmp_path)) == len(list(tmp_path.iterdir())) == 10
