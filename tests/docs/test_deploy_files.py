"""The files of docs/deploy are what the set-up's commands write, and systemd and nft read them."""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from aggregator.setup.place import UNIT as SUPERLINK_UNIT
from docs.site.deploy_files import deploy_files
from gdshare.deploy.unit import unit_words
from hospital_node.__main__ import _parser
from hospital_node.settings import NodeSettings
from hospital_node.setup.place import UNIT as NODE_UNIT

DEPLOY = Path(__file__).parent.parent.parent / "docs" / "deploy"
OTHER = 61_002
TWO_USERS = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 8000))
def reaches(user):
    child = os.fork()
    if child == 0:
        os.setuid(user)
        try:
            socket.socket().connect(("127.0.0.1", 8000))
        except ConnectionError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
print(reaches(0), reaches(int(sys.argv[1])))
"""


def command(unit: str) -> list[str]:
    text = (DEPLOY / unit).read_text(encoding="utf-8").replace("\\\n", " ")
    [line] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


@pytest.mark.parametrize("name", deploy_files())
def test_file_is_what_the_command_writes(name: str) -> None:
    shown = (DEPLOY / name).read_text(encoding="utf-8")
    assert shown == deploy_files()[name], "python -m docs.site.deploy_files"


def test_nodes_settings_are_settings() -> None:
    settings = NodeSettings.from_mapping(tomllib.loads(deploy_files()["node.toml"]))
    assert str(settings.cohort) == "/srv/gdshare/cohort"


@pytest.mark.parametrize(
    ("compose", "service", "unit"),
    [
        ("aggregator-compose.yaml", "superlink", SUPERLINK_UNIT),
        ("node-compose.yaml", "node", NODE_UNIT),
    ],
)
def test_container_starts_what_the_unit_starts(compose: str, service: str, unit: str) -> None:
    described = yaml.safe_load(deploy_files()[compose])["services"][service]
    text = deploy_files()[unit]
    assert described["command"] == command(unit)
    assert described.get("environment", []) == unit_words(text, "Environment")
    assert [f"User={described['user']}"] == [
        line for line in text.splitlines() if line.startswith("User=")
    ]
    assert described["restart"] == "always"
    assert (described["read_only"], described["cap_drop"]) == (True, ["ALL"])
    written = [path.split(":")[0] for path in described["volumes"] if not path.endswith(":ro")]
    assert written == (
        ["/var/lib/gdshare-node", "/var/log/gdshare-node"]
        if service == "node"
        else ["/var/lib/gdshare", "/srv/gdshare"]
    )


def test_containers_superlink_has_no_port_of_its_own() -> None:
    services = yaml.safe_load(deploy_files()["aggregator-compose.yaml"])["services"]
    assert services["superlink"]["network_mode"] == "service:nginx"
    assert "ports" not in services["superlink"]
    assert services["nginx"]["ports"] == ["8443:8443"]


def test_nodes_unit_starts_what_the_program_takes() -> None:
    python, *words = command("gdshare-node.service")
    assert (python.split("/")[-1], words[:3]) == ("python", ["-P", "-m", "hospital_node"])
    options = _parser().parse_args(words[3:])
    assert options.superlink == "aggregator.example:8443"
    assert not options.insecure


def test_superlinks_unit_listens_on_this_machine_alone_and_keeps_a_database() -> None:
    words = command("gdshare-superlink.service")
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert {"--enable-supernode-auth", "--database"} <= set(words)
    assert "--insecure" not in words


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@pytest.mark.parametrize("unit", ["gdshare-node.service", "gdshare-superlink.service"])
def test_systemd_reads_the_unit_without_a_complaint(tmp_path: Path, unit: str) -> None:
    text = (DEPLOY / unit).read_text(encoding="utf-8")
    for program in ("python", "flower-superlink"):
        text = text.replace(f"/opt/gdshare/bin/{program}", sys.executable)
    (tmp_path / unit).write_text(text, encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in verified.stderr.splitlines() if unit in line]
    assert complaints == []


def _in_a_network_of_its_own(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["unshare", "-n", *words], capture_output=True, text=True, check=False)


def test_another_user_does_not_reach_the_superlink_past_the_firewall(tmp_path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can act as two users")
    missing = [name for name in ("unshare", "ip", "nft") if shutil.which(name) is None]
    if missing or _in_a_network_of_its_own("nft", "list", "ruleset").returncode:
        pytest.skip(f"no network of its own, or not installed: {', '.join(missing)}")
    rules = (DEPLOY / "gdshare-superlink.nft").read_text(encoding="utf-8")
    fitted = tmp_path / "rules.nft"
    fitted.write_text(rules.replace("gdshare, www-data }", "61003, 61004 }"), encoding="utf-8")
    script = f"ip link set lo up; {{}} exec {sys.executable} -c '{TWO_USERS}' {OTHER}"
    without = _in_a_network_of_its_own("bash", "-euc", script.format(""))
    with_rules = _in_a_network_of_its_own("bash", "-euc", script.format(f"nft -f {fitted};"))
    assert without.stdout.split() == ["True", "True"], without.stderr
    assert with_rules.stdout.split() == ["True", "False"], with_rules.stderr
