"""What ``gdshare federation doctor`` looks at on the aggregator's own machine."""

import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from aggregator.flower.cli import FlowerCli, ListedNode, SuperLinkAddress
from aggregator.nodes.binding import read_binding
from aggregator.setup.place import (
    CA,
    CA_KEY,
    INSTALLED,
    NGINX,
    REVOKED,
    SERVER,
    SERVER_KEY,
    SITES,
    FederationPlace,
)
from aggregator.setup.revocations import read_revocations
from gdshare.child_environment import child_environment
from gdshare.deploy.certificates import read_certificates
from gdshare.deploy.finding import (
    Finding,
    certificate_finding,
    disk_finding,
    end_finding,
    fault,
    is_root,
    ok,
    secret_finding,
    version_findings,
    warning,
)
from gdshare.deploy.trust_list import trust_findings
from gdshare.errors import GdshareError
from gdshare.plain_files import MAX_RECORD, MAX_TABLE, read_plain

_ANYWHERE = re.compile(r"00000000(?:000000000000000000000000)?:([0-9A-F]{4})")
LISTENS = "0A"
COMMAND_S = 10


def examine(place: FederationPlace, trust: Path | None, now: datetime) -> list[Finding]:
    """Everything, in the order in which it is mended.

    Args:
        place: the set-up.
        trust: the trust folder; None: that of ``place.work``, if it is there.
        now: UTC.
    """
    standard = place.work / "trust"
    folder = trust or (standard if standard.is_dir() else None)
    findings = [*version_findings(), _clock(), *_certificates(place, now), *_keys(place)]
    findings += [disk_finding(place.state if place.state.is_dir() else place.folder)]
    findings += [*_installed(place), *_listening(place)]
    findings += [*_firewall(place), *_nodes(place, folder)]
    if folder is not None:
        findings += trust_findings("trust", folder, now, "ask the hospital for a new one")
    return findings


def _run(*words: str) -> "subprocess.CompletedProcess[str] | None":
    """A command of the system; None if it is not here or takes too long."""
    if shutil.which(words[0]) is None:
        return None
    try:
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            env=child_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _clock() -> Finding:
    asked = _run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    remedy = "timedatectl set-ntp true: a node whose clock is 5 s ahead of this one is refused"
    if asked is None or asked.returncode:
        return warning("clock", "nobody here says whether the clock is set by NTP", remedy)
    if asked.stdout.strip() != "yes":
        return warning("clock", "is not set by NTP", remedy)
    return ok("clock", "is set by NTP")


def _certificates(place: FederationPlace, now: datetime) -> Iterator[Finding]:
    renew = "gdshare federation renew, then restart gdshare-superlink and nginx"
    yield certificate_finding("authority", place.folder / CA, now, "set the federation up anew")
    yield certificate_finding("server", place.folder / SERVER, now, renew)
    yield _revocations(place, now)
    for path in sorted((place.folder / SITES).glob("*.pem")):
        again = f"gdshare federation sign {path.stem}'s request again, and send it the file"
        yield certificate_finding(f"site {path.stem}", path, now, again)


def _revocations(place: FederationPlace, now: datetime) -> Finding:
    """Whether nginx lets in whoever is not on the list, and nobody who is."""
    subject, path = "revoked", place.folder / REVOKED
    again = "gdshare federation renew, then restart nginx"
    try:
        end = read_revocations(path, read_certificates(place.folder / CA)[0]).end
        asked_for = b"ssl_crl" in read_plain(place.folder / NGINX, MAX_RECORD)
    except OSError as error:
        return fault(subject, f"{error.filename}: {error.strerror}", again)
    except GdshareError as error:
        return fault(subject, f"{error.where}: {error.what}", error.remedy)
    if not asked_for:
        remedy = f"have it say ssl_crl {path}; as gdshare federation init writes it"
        return fault(subject, f"{place.folder / NGINX} lets in who is on the list", remedy)
    return end_finding(subject, f"{path}, past which nginx refuses everybody,", end, now, again)


def _keys(place: FederationPlace) -> Iterator[Finding]:
    yield secret_finding(place.folder / SERVER_KEY, None)
    if (place.folder / CA_KEY).exists():
        yield secret_finding(place.folder / CA_KEY, None)
    else:
        yield ok(f"key {CA_KEY}", "the authority's key is kept elsewhere")


def _installed(place: FederationPlace) -> Iterator[Finding]:
    """Whether what runs is what the folder holds."""
    for name, path in INSTALLED.items():
        try:
            own = read_plain(place.folder / name, MAX_RECORD)
            same = read_plain(path, MAX_RECORD) == own
        except OSError:
            again = f"sh {place.folder}/install.sh, as root"
            yield warning("installed", f"{path} is missing or cannot be read", again)
            continue
        if same:
            yield ok("installed", f"{path} is that of {place.folder}")
        else:
            again = f"compare the two, then sh {place.folder}/install.sh, as root"
            yield warning("installed", f"{path} differs from that of {place.folder}", again)


def _listening(place: FederationPlace) -> Iterator[Finding]:
    """Whether nginx listens, and the SuperLink on the loopback alone."""
    ports = _ports_open_to_all()
    if place.superlink_port in ports:
        said = f"the SuperLink's port {place.superlink_port} is open to the network: whoever "
        yield fault(
            "SuperLink", f"{said}reaches it runs programs here", "--host 127.0.0.1, at once"
        )
    if _connects(place.port):
        yield ok("nginx", f"listens on port {place.port}")
    else:
        yield fault("nginx", f"nothing listens on port {place.port}", "nginx -t; start nginx")


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2):
            return True
    except OSError:
        return False


def _ports_open_to_all() -> set[int]:
    """Ports that listen on every address; empty without /proc."""
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            content = read_plain(Path("/proc/net", table), MAX_TABLE)
            lines = content.decode("ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            match = _ANYWHERE.fullmatch(fields[1])
            if match and fields[3] == LISTENS:
                ports.add(int(match[1], 16))
    return ports


def _firewall(place: FederationPlace) -> Iterator[Finding]:
    if not is_root():
        yield warning("firewall", "only root sees the rules", "run the doctor as root")
        return
    listed = _run("nft", "list", "table", "inet", "gdshare")
    if listed is None or f"dport {place.superlink_port} " not in listed.stdout:
        said = "any user of this machine reaches the SuperLink's port, and so becomes its user"
        yield fault("firewall", said, f"nft -f {place.folder}/gdshare-superlink.nft")
    else:
        yield ok("firewall", f"keeps other users from port {place.superlink_port}")


def _nodes(place: FederationPlace, trust: Path | None) -> Iterator[Finding]:
    """The SuperLink's nodes, by the names that they are bound to."""
    try:
        listed = {node.number: node for node in _listed(place)}
        bound = read_binding(trust).nodes if trust is not None else ()
    except GdshareError as error:
        yield fault("SuperLink", f"{error.what}", error.remedy or "look at its log")
        return
    yield ok("SuperLink", f"answers on {place.superlink}, with {len(listed)} nodes")
    names = {int(node.node): node.site for node in bound}
    for number, site in names.items():
        if number not in listed:
            again = f"gdshare nodes add {site}.node-request"
            yield fault(f"node {site}", "the SuperLink does not know its key any more", again)
        elif listed[number].status != "online":
            said = f"is {listed[number].status}, since {listed[number].offline_at}"
            yield warning(f"node {site}", said, "have the hospital run gdshare node doctor")
        else:
            yield ok(f"node {site}", f"is online, since {listed[number].online_at}")
    for number in listed.keys() - names.keys():
        remedy = f"gdshare nodes remove {number}, or add it by gdshare nodes add"
        yield warning(f"node {number}", "is bound to no hospital", remedy)


def _listed(place: FederationPlace) -> list[ListedNode]:
    with tempfile.TemporaryDirectory(prefix="gdshare-") as home:
        address = SuperLinkAddress(place.superlink, root_certificates=place.folder / CA)
        return FlowerCli.connect(Path(home), address).nodes()
