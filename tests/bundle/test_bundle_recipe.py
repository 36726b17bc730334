"""The recipe in docs/bundle-format.md, taken from the page and run with the real tools."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from bundle_factory import key, other_key, sound
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from gdshare.bundle import verify_folder
from gdshare.bundle.layout import BOUNDS
from gdshare.signing import public_pem
from gdshare.signing.envelope import P256_ORDER, Envelope, read_envelope

PAGE = Path(__file__).parents[2] / "docs" / "bundle-format.md"
TOOLS = ("bash", "openssl", "sha256sum", "jq", "base64")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}; `make system`")


def recipe() -> str:
    (block,) = re.findall(
        r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return block


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "a bundle"
    place.mkdir()
    for name, content in sound().items():
        (place / name).write_bytes(content)
    (tmp_path / "right.pub").write_bytes(public_pem(key().public_key()))
    (tmp_path / "wrong.pub").write_bytes(public_pem(other_key().public_key()))
    return place


def run(folder: Path, public: str = "right.pub") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BUNDLE": str(folder), "KEY": str(folder.parent / public)}
    return subprocess.run(
        ["bash", "-c", recipe()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(folder: Path, public: str = "right.pub") -> bool:
    result = run(folder, public)
    told = "REFUSED: " in result.stderr  # a person must not be left with silence
    return result.returncode != 0 and told and "genuine" not in result.stdout


def test_the_recipe_accepts_a_sound_bundle_and_names_its_digest(folder):
    from bundle_factory import NOW

    result = run(folder)
    assert result.returncode == 0, result.stderr
    digest = verify_folder(folder, key().public_key(), NOW).digest
    assert result.stdout.splitlines()[-1] == f"genuine: {digest}"


def test_the_recipe_refuses_another_key(folder):
    assert refused(folder, "wrong.pub")


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_the_recipe_refuses_an_altered_file(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert refused(folder)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_the_recipe_refuses_a_missing_file(folder, name):
    (folder / name).unlink()
    assert refused(folder)


@pytest.mark.parametrize("name", ["extra", ".hidden", "two\nlines"])
def test_the_recipe_refuses_an_extra_file(folder, name):
    (folder / name).write_bytes(b"")
    assert refused(folder)


def test_the_recipe_refuses_a_link_and_a_subfolder(folder):
    (folder / "README.md").rename(folder.parent / "README.md")
    (folder / "README.md").symlink_to(folder.parent / "README.md")
    assert refused(folder)
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    assert refused(folder)


def test_the_recipe_refuses_flipped_bits_all_over_the_signature_file(folder):
    whole = sound()["bundle.sig"]
    rng = random.Random(0)
    for position in rng.sample(range(len(whole)), 15):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.randrange(8)
        (folder / "bundle.sig").write_bytes(flipped)
        assert refused(folder), f"byte {position}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"mediaType"', b'{"note":1,"mediaType"'),
        (b'{"mediaType"', b'{"mediaType":"x","mediaType"'),
        (b',"keyid":""', b',"keyid":"x"'),
        (b'"tlogEntries":[]', b'"tlogEntries":[{}]'),
        (b"}]}}", b"}]}}\n"),
    ],
)
def test_the_recipe_refuses_anything_unsigned_in_the_signature_file(folder, old, new):
    whole = (folder / "bundle.sig").read_bytes()
    assert old in whole
    (folder / "bundle.sig").write_bytes(whole.replace(old, new, 1))
    assert refused(folder)


def test_the_recipe_refuses_the_mirrored_signature(folder):
    envelope = read_envelope(sound()["bundle.sig"], "bundle.sig")
    r, s = decode_dss_signature(envelope.signature)
    mirrored = encode_dss_signature(r, P256_ORDER - s)
    forged = Envelope(envelope.hint, envelope.payload, mirrored)
    (folder / "bundle.sig").write_bytes(forged.to_bytes())
    assert refused(folder)
