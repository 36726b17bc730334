"""One flipped bit anywhere in a bundle is refused."""

import random

import pytest
from bundle_factory import NOW, key, sound

from gdshare.bundle import verify_files
from gdshare.errors import BundleError

EVERY_BIT = ("bundle.sig", "gdshare.json")
A_BIT_OF_EVERY_BYTE = ("README.md", "preview.png", "distilled.safetensors")


def accepted(files):
    """Give what went wrong with the refusal, if anything: only BundleError may come out."""
    try:
        verify_files(files, key().public_key(), NOW)
    except BundleError:
        return False
    return True


def survivors(name, masks):
    files = sound()
    original = files[name]
    found = []
    for position in range(len(original)):
        for mask in masks():
            flipped = bytearray(original)
            flipped[position] ^= mask
            files[name] = bytes(flipped)
            if accepted(files):
                found.append((position, mask))
    return found


@pytest.mark.parametrize("name", EVERY_BIT)
def test_no_flipped_bit_survives(name):
    assert survivors(name, lambda: [1 << bit for bit in range(8)]) == []


@pytest.mark.parametrize("name", A_BIT_OF_EVERY_BYTE)
def test_no_byte_with_a_flipped_bit_survives(name):
    rng = random.Random(0)
    assert survivors(name, lambda: [1 << rng.randrange(8)]) == []


def test_no_bundle_cut_short_anywhere_in_its_signature_survives():
    files = sound()
    whole = files["bundle.sig"]
    for length in range(len(whole)):
        files["bundle.sig"] = whole[:length]
        assert not accepted(files)
