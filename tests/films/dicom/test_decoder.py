"""A hostile compressed frame can harm only the codec's own process."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from dicom_kit import CODECS, gradient, radiograph, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from gdshare.errors import FilmError
from gdshare.films.dicom.decoder import CODEC, decoder
from gdshare.films.dicom.stored import Frame

HOSTILE = (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """One good frame of each codec."""
    folder = tmp_path_factory.mktemp("frames")
    return {syntax: _frame(folder / "film.dcm", syntax) for syntax in HOSTILE}


def _frame(path, syntax, pixels=None):
    pixels = gradient() if pixels is None else pixels
    content = dcmread(save(radiograph(pixels), path, syntax)).PixelData
    rows, columns = pixels.shape
    return Frame(str(syntax), rows, columns, 16, 12, False, get_frame(content, 0))


def children():
    """The codec processes that this one started and that still run."""
    # -ww: without it ps cuts a line at 80 columns, and with it the module's name.
    command = ["ps", "-ww", "--ppid", str(os.getpid()), "-o", "pid=,args="]
    lines = subprocess.run(command, capture_output=True, check=False).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if CODEC.encode() in line]


def test_one_process_decodes_many_frames_and_ends_with_the_block(frames):
    with decoder() as decode:
        for _ in range(3):
            np.testing.assert_array_equal(decode(frames[RLELossless]), gradient())
        assert len(children()) == 1
    assert children() == []


def test_killed_codec_costs_one_error_at_most_and_the_next_frame_is_decoded(frames):
    with decoder() as decode:
        decode(frames[RLELossless])
        (running,) = children()
        os.kill(running, signal.SIGKILL)
        with suppress(FilmError):  # none if the death is noticed before the frame is sent
            decode(frames[RLELossless])
        np.testing.assert_array_equal(decode(frames[JPEGLSLossless]), gradient())


def test_codec_that_never_returns_is_killed_in_time(frames):
    with decoder(timeout_s=8) as decode:
        decode(frames[RLELossless])
        (running,) = children()
        os.kill(running, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(FilmError, match="took too long"):
            decode(frames[RLELossless])
        assert time.monotonic() - start < 30


def test_frame_of_another_size_than_its_header_says_is_refused(frames):
    small = frames[JPEG2000Lossless]
    with decoder() as decode, pytest.raises(FilmError, match=r"40 x 48 px.*header says 8 x 8"):
        decode(Frame(small.encoding, 8, 8, 16, 12, False, small.content))


def test_run_length_bomb_is_stopped_by_the_memory_limit_of_its_film():
    runs = bytes([129, 0]) * 10_000_000  # PackBits: 129 repeats the next byte 128 times: 1.3 GB
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    bomb = Frame(str(RLELossless), 16, 16, 8, 8, False, header + runs)
    code = (
        "import resource, sys; from gdshare.films.dicom.codec import _bound_memory; "
        "_bound_memory(256); print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    bound = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert int(bound) < 1_100_000_000
    with decoder() as decode, pytest.raises(FilmError, match="damaged"):
        decode(bomb)


@pytest.mark.parametrize("refusal", ["ValueError", "OSError"])
def test_where_memory_cannot_be_bounded_frames_are_decoded_and_it_is_logged_once(
    frames, refusal, tmp_path, monkeypatch, caplog
):
    # As on macOS.
    (tmp_path / "sitecustomize.py").write_text(
        f"import resource\ndef setrlimit(*limits):\n    raise {refusal}\n"
        "resource.setrlimit = setrlimit\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    with decoder() as decode:
        for _ in range(2):
            np.testing.assert_array_equal(decode(frames[RLELossless]), gradient())
    assert [record.getMessage() for record in caplog.records] == [
        "this system cannot limit the decoder's memory; its time is limited"
    ]


def test_where_memory_is_bounded_nothing_is_logged(frames, caplog):
    with decoder() as decode:
        decode(frames[RLELossless])
    assert not caplog.records


@pytest.mark.parametrize("syntax", HOSTILE, ids=lambda syntax: syntax.keyword)
def test_mutated_frames_give_values_or_one_error(frames, syntax):
    good = frames[syntax]
    with decoder(timeout_s=20) as decode:

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=8),
            keep=st.floats(0, 1),
        )
        def mutate(flips, keep):
            content = bytearray(good.content)
            for offset, value in flips:
                content[offset % len(content)] = value
            cut = bytes(content[: int(len(content) * keep)])
            try:
                values = decode(Frame(good.encoding, 48, 40, 16, 12, False, cut))
            except FilmError:
                return
            assert values.shape == (48, 40)

        mutate()


def test_reader_supports_every_codec_of_the_kit():
    from gdshare.films.dicom.header import ENCODINGS

    assert set(CODECS) <= ENCODINGS


def test_decoder_runs_one_thread_of_each_library_whatever_the_environment_says(frames, monkeypatch):
    # Each thread reserves 40 MB of address space: on 24 processors more than the limit leaves.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    with decoder() as decode:
        np.testing.assert_array_equal(decode(frames[RLELossless]), gradient())
        (running,) = children()
        environment = Path(f"/proc/{running}/environ").read_bytes().split(b"\0")
    assert b"OPENBLAS_NUM_THREADS=1" in environment
    assert b"OMP_NUM_THREADS=1" in environment


def test_codec_killed_from_outside_is_not_reported_as_slow(frames):
    with decoder() as decode:
        decode(frames[RLELossless])
        (running,) = children()
        os.kill(running, signal.SIGSTOP)
        Timer(0.3, os.kill, (running, signal.SIGKILL)).start()
        with pytest.raises(FilmError, match="the decoder failed"):
            decode(frames[RLELossless])
