"""The guide's backup and restore, as they stand, of a federation that has held a round."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare

from aggregator.flower.local_federation import free_ports
from benchmarks.links.federation import Federation, Machine, federation
from benchmarks.links.hospitals import make_hospitals
from gdshare.flower import KNOWN, REQUIREMENT

GUIDE = Path(__file__).parents[2] / "docs" / "guide-upgrades.md"
TEXT = GUIDE.read_text(encoding="utf-8")
SITE = "north"
KEPT = ("etc/gdshare", "var/lib/gdshare", "srv/gdshare")


def block(heading: str) -> list[str]:
    """The first indented block under a heading, line by line."""
    section = TEXT.split(f"# {heading}\n")[1].split("\n#")[0]
    first = re.search(r"(?:^    .*\n)+", section, flags=re.MULTILINE)
    assert first is not None
    return [line.strip() for line in first[0].splitlines()]


def test_page_names_the_versions_that_are_known() -> None:
    assert f"{', '.join(KNOWN[:-1])} and {KNOWN[-1]}" in TEXT
    assert f"pip install '{REQUIREMENT}'" in TEXT


@dataclass
class Disk:
    """A machine's folders below one of the test's, and the federation that lives in them."""

    root: Path
    made: Federation
    passphrase: Path

    def run(self, lines: list[str]) -> None:
        """Run the guide's lines; the SuperLink is stopped and started in place of its unit."""
        for line in lines:
            if "systemctl stop" in line:
                self.made.servers.stop()
            elif "systemctl start" in line:
                self.made.start_superlink()
                self.made.start_door()
            else:
                fitted = line.replace("sudo ", "").replace("-C /", f"-C {self.root}")
                subprocess.run(["bash", "-euc", fitted], cwd=self.root, check=True)

    @property
    def ledger(self) -> Path:
        return self.root / "srv" / "gdshare" / "trust-ledger.jsonl"

    def round(self, name: str, seed: int) -> Path:
        """Hold a round with receipts; returns its folder."""
        home = self.root / "srv" / "gdshare"
        words = ["--trust", str(home / "trust"), "--ensemble", "1", "--seed", str(seed)]
        words += ["--passphrase-file", str(self.passphrase), "--minimum", "1"]
        words += ["--key", str(home / "keys" / "tokyo.key"), "--name", "tokyo"]
        table = self.made.aggregate(home / name, *words)
        assert SITE in table
        return home / name

    def verified(self, receipt: Path) -> int:
        """The status of comparing the ledger with a receipt."""
        key = self.root / "srv" / "gdshare" / "keys" / "tokyo.pub"
        return gdshare("ledger", "verify", self.ledger, "--receipt", receipt, "--key", key).status


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    if shutil.which("nginx") is None:
        pytest.skip("not installed: nginx (make system)")
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    root = tmp_path / "machine"
    for name in KEPT:
        (root / name).mkdir(parents=True)
    hospitals = make_hospitals(tmp_path / "world", [SITE], "scattering")
    shutil.copytree(hospitals.trust, root / "srv" / "gdshare" / "trust")
    gdshare("keys", "new", "--name", "tokyo", "--out", root / "srv/gdshare/keys", check=True)
    database = root / "var" / "lib" / "gdshare" / "superlink.db"
    port, door = free_ports(2)
    with federation(root / "etc/gdshare", hospitals, Machine(), port, door, database) as made:
        # A hospital's own files are on its own machine.
        for name in ("ca.pem", "north.pem", "north.tls.key", "north.node", "north.node.pub"):
            shutil.copy2(made.folder / name, tmp_path / name)
        made.start_node(SITE, Machine(), folder=tmp_path)
        made.wait_for_nodes()
        yield Disk(root, made, _passphrase(tmp_path / "passphrase"))


def _passphrase(path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(PASSPHRASE, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_backup_is_restored_and_the_next_round_closes(disk: Disk, tmp_path: Path) -> None:
    first = disk.round("round-1", 1)
    disk.run(block("Backups"))
    archive = disk.root / "gdshare-backup.tar.gz"
    assert archive.stat().st_mode & 0o077 == 0, "it holds keys"

    second = disk.round("round-2", 2)
    shutil.copytree(second / "receipts", tmp_path / "at-the-hospital")
    disk.made.servers.stop()
    for name in KEPT:
        shutil.rmtree(disk.root / name)

    disk.run(block("Restore"))
    assert disk.verified(first / "receipts" / "north-1.receipt") == 0
    late = tmp_path / "at-the-hospital" / "north-1.receipt"
    assert disk.verified(late) == 3, "the second round is lost to the ledger, and it shows"
    disk.round("round-3", 3)
    disk.made.nodes[SITE].require_alive()
