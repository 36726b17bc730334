"""``gdshare node init`` and what the doctor finds without a SuperLink."""

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_kit import gdshare
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from site_kit import make_cohort

from gdshare.cli.exit_status import REFUSED, USAGE
from gdshare.deploy.node_request import read_node_request
from gdshare.deploy.unit import unit_words
from gdshare.errors import KeyFileError, UsageError
from gdshare.metrics import Confusion
from hospital_node.count_record import Answer, CountRecord
from hospital_node.settings import NodeSettings
from hospital_node.setup.doctor import examine
from hospital_node.setup.place import UNIT

GUIDE = Path(__file__).parents[3] / "docs" / "guide-node.md"
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
OTHER = "nobody"


def init(folder, *options, superlink="127.0.0.1:9"):
    words = ("--site", "st-mary", "--superlink", superlink, *options)
    return gdshare("node", "init", folder, *words)


def findings(etc):
    return [(found.subject, found.state.value, found.what) for found in examine(etc, NOW)]


def test_keys_are_their_owners_alone_and_the_request_holds_their_public_halves(tmp_path):
    assert init(tmp_path / "etc").status == 0
    for name in ("node-key", "tls.key"):
        assert stat.S_IMODE((tmp_path / "etc" / name).stat().st_mode) == 0o600
    key = load_ssh_private_key((tmp_path / "etc" / "node-key").read_bytes(), None)
    request = read_node_request(tmp_path / "etc" / "st-mary.node-request")
    assert (request.site, request.node_key) == ("st-mary", key.public_key())
    bare = read_node_request(tmp_path / "etc" / "node-key.pub")
    assert (bare.site, bare.tls_key) == (None, None)
    assert bare.node_fingerprint == request.node_fingerprint


def test_keys_are_never_overwritten(tmp_path):
    init(tmp_path / "etc")
    before = (tmp_path / "etc" / "node-key").read_bytes()
    assert init(tmp_path / "etc").status == USAGE
    assert (tmp_path / "etc" / "node-key").read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        ("--work", "/srv/a b"),
        ("--user", "root; id"),
        ("--only-to", "1.2.3.4\nUser=root"),
        ("--films", "/srv/$(id)"),
        ("--device", "tpu"),
    ],
)
def test_value_that_would_be_more_than_a_word_in_a_unit_is_refused(tmp_path, options):
    assert init(tmp_path / "etc", *options).status == USAGE
    assert not (tmp_path / "etc").exists()


def test_address_of_the_web_is_refused(tmp_path):
    assert init(tmp_path / "etc", superlink="https://hub.example").status == USAGE


def test_settings_and_unit_are_those_of_the_options(tmp_path):
    init(tmp_path / "etc", "--no-count", "--only-to", "203.0.113.7", "--device", "cuda")
    text = (tmp_path / "etc" / "node.toml").read_text(encoding="utf-8")
    settings = NodeSettings.from_mapping(tomllib.loads(text))
    assert (settings.cohort, settings.device) == (None, "cuda")
    unit = (tmp_path / "etc" / UNIT).read_text(encoding="utf-8")
    assert "\nIPAddressDeny=any\nIPAddressAllow=203.0.113.7\n" in unit
    assert "\nPrivateDevices=false\n" in unit
    assert "\nRestart=always\n" in unit


def test_guides_command_by_hand_is_what_the_unit_starts(tmp_path):
    text = GUIDE.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = re.search(r"^    python (-m hospital_node /etc.*)$", text, re.M)[1].split()
    unit = (GUIDE.parent / "deploy" / UNIT).read_text(encoding="utf-8")
    words = unit_words(unit)[2:]
    assert words[: words.index("--log-file")] == shown


@pytest.mark.parametrize("content", [b"", b"x" * 20_000, b"ssh-rsa AAAA\n", b"\xff\n\n"])
def test_request_that_is_none_is_one_sentence(tmp_path, content):
    path = tmp_path / "x.node-request"
    path.write_bytes(content)
    with pytest.raises(KeyFileError):
        read_node_request(path)


def test_request_signed_by_another_key_is_refused(tmp_path):
    init(tmp_path / "etc")
    path = tmp_path / "etc" / "st-mary.node-request"
    lines = path.read_bytes().splitlines(keepends=True)
    changed = lines[3][:10] + bytes([lines[3][10] ^ 1]) + lines[3][11:]
    path.write_bytes(b"".join([*lines[:3], changed, *lines[4:]]))
    with pytest.raises(KeyFileError):
        read_node_request(path)


def test_doctor_without_a_folder_of_init_says_so(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        examine(tmp_path, NOW)


def test_doctor_exits_with_three_and_says_what_to_do(tmp_path):
    work = tmp_path / "work"
    (work / "outbox").mkdir(parents=True)
    init(tmp_path / "etc", "--work", work, "--no-count", "--state", tmp_path / "state")
    ended = gdshare("node", "doctor", "--dir", tmp_path / "etc", "--json")
    assert ended.status == REFUSED
    told = json.loads(ended.out)
    assert not told["ok"]
    assert all(found["remedy"] for found in told["findings"] if found["state"] == "fault")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(("left", "state"), [(20, "ok"), (1, "warning")])
def test_doctor_says_how_many_models_are_left(tmp_path, left, state):
    work, records = tmp_path / "work", tmp_path / "state"
    shutil.copytree(make_cohort(tmp_path / "made"), work / "cohort")
    (work / "outbox").mkdir()
    records.mkdir()
    entries = [
        Answer(
            model=f"{number:064}",
            cohort="c" * 64,
            epsilon=0.4,
            counts=(Confusion(1, 1, 1, 1),),
        )
        for number in range(20 - left)
    ]
    record = CountRecord(entries=tuple(entries))
    (records / "test-counts.json").write_text(record.model_dump_json(), encoding="utf-8")
    init(tmp_path / "etc", "--work", work, "--state", records)
    said = [item for item in findings(tmp_path / "etc") if item[0] == "budget"]
    assert ("budget", state, f"test films may be counted for {left} more models of 20") in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as another user")
def test_doctor_looks_as_the_nodes_user_does():
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        for folder in ("work/outbox", "work/keys", "state"):
            (place / folder).mkdir(parents=True)
        signing = place / "work" / "keys" / "st-mary.key"
        signing.touch(0o644)
        init(
            *(place / "etc", "--work", place / "work", "--no-count"),
            *("--state", place / "state", "--user", OTHER),
        )
        (place / "work" / "outbox").chmod(0o700)
        said = {(state, what) for _, state, what in findings(place / "etc")}
        assert ("fault", f"{OTHER} cannot read {place}/work/outbox") in said
        assert ("fault", f"{OTHER} can read {signing}") in said
        assert ("fault", f"{OTHER} cannot write {place}/state") in said
        assert any("another user's than it runs as" in what for _, what in said)
        (place / "work" / "outbox").chmod(0o755)
        signing.chmod(0o600)
        said = {(state, what) for _, state, what in findings(place / "etc")}
        assert ("ok", f"{OTHER} reads {place}/work/outbox") in said
        assert ("fault", f"{OTHER} can read {signing}") not in said


def test_install_scripts_are_sound_shell(tmp_path):
    init(tmp_path / "etc")
    assert (
        subprocess.run(["sh", "-n", tmp_path / "etc" / "install.sh"], check=False).returncode == 0
    )
