"""What ``gdshare node doctor`` looks at: what the unit starts, as its user sees it."""

import os
import pwd
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gdshare.child_environment import child_environment
from gdshare.deploy.certificates import is_signed_by, read_certificates
from gdshare.deploy.finding import (
    Finding,
    certificate_finding,
    disk_finding,
    fault,
    is_root,
    ok,
    secret_finding,
    version_findings,
    warning,
)
from gdshare.deploy.trust_list import trust_findings
from gdshare.deploy.unit import unit_words
from gdshare.errors import GdshareError, UsageError
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.trust.keys import ledger_beside
from hospital_node.__main__ import _parser, read_settings
from hospital_node.address import address_of
from hospital_node.count_record import CountRecord, read_counts
from hospital_node.settings import NodeSettings
from hospital_node.setup.place import UNIT
from hospital_node.setup.probe import judge, probe
from hospital_node.work import FILE as WORK
from hospital_node.work import Work

FEW_MODELS = 3
"""So few models left are worth a warning: a round may ask for several."""


@dataclass(frozen=True)
class _Unit:
    """What systemd starts, and as whom."""

    options: Namespace
    settings: NodeSettings
    user: str


def examine(folder: Path, now: datetime) -> list[Finding]:
    """Everything, in the order in which it is mended.

    Args:
        folder: of ``gdshare node init``; what its unit starts is examined.
        now: UTC.

    Raises:
        UsageError: there is no such unit, or its settings cannot be read.
    """
    unit = _read_unit(folder)
    findings = [*version_findings(), *_keys(unit), *_certificates(unit, now)]
    findings += [*_reach(unit), *_rights(unit), disk_finding(_existing(unit.settings.state))]
    if (peers := unit.settings.trust) is not None:
        findings += trust_findings("peers", peers, now, "have its new key read out to you")
    return [*findings, *_budget(unit, now)]


def _read_unit(folder: Path) -> _Unit:
    path = folder / UNIT
    try:
        text = read_plain(path, MAX_RECORD).decode()
        words, [user] = unit_words(text), unit_words(text, "User")
        options = _parser().parse_args(words[words.index("hospital_node") + 1 :])
    except OSError as error:
        remedy = "give the folder of gdshare node init by --dir"
        raise UsageError(f"cannot be read ({error.strerror})", path, remedy) from error
    except (ValueError, SystemExit) as error:
        raise UsageError("starts no node of gdshare's", path, "run gdshare node init") from error
    return _Unit(options, read_settings(options.settings), user)


def _owner(unit: _Unit) -> int | None:
    try:
        return pwd.getpwnam(unit.user).pw_uid
    except KeyError:
        return None


def _keys(unit: _Unit) -> Iterator[Finding]:
    owner = _owner(unit)
    if owner is None:
        said = f"there is no user {unit.user} on this machine"
        yield fault("user", said, "run install.sh as root")
    for path in (unit.options.auth_supernode_private_key, unit.options.client_key):
        if path is not None:
            yield secret_finding(path, owner)


def _certificates(unit: _Unit, now: datetime) -> Iterator[Finding]:
    own, authority = unit.options.client_certificate, unit.options.root_certificates
    if own is None or authority is None:
        yield warning("certificate", "the unit names none", "use what gdshare node init writes")
        return
    again = "have the aggregator sign this node's request again, and take the answer"
    yield certificate_finding("certificate", own, now, again)
    yield certificate_finding("authority", authority, now, "ask the aggregator for its new one")
    try:
        signed = is_signed_by(read_certificates(own)[0], read_certificates(authority)[0])
    except GdshareError:
        return  # said above
    if not signed:
        yield fault("certificate", f"{own} is not signed by {authority}", again)


def _reach(unit: _Unit) -> list[Finding]:
    try:
        address = address_of(unit.options)
    except GdshareError as error:
        return [fault("reachability", f"{error.where}: {error.what}", error.remedy)]
    return judge(probe(address), unit.options.superlink)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _may(user: str, flag: str, path: Path) -> bool:
    """Whether the node's user may; ``flag`` is one of ``test``: -r, -w, -x."""
    words = ["test", flag, str(path)]
    if is_root() and user != "root":
        try:
            found = pwd.getpwnam(user)
        except KeyError:
            return False
        groups = os.getgrouplist(user, found.pw_gid)
        ended = subprocess.run(
            words,
            user=found.pw_uid,
            group=found.pw_gid,
            extra_groups=groups,
            check=False,
            env=child_environment(),
        )
    else:
        ended = subprocess.run(words, check=False, env=child_environment())
    return ended.returncode == 0


def _rights(unit: _Unit) -> Iterator[Finding]:
    """What the node's user can read, write, and should not."""
    settings, subject = unit.settings, "permissions"
    if not is_root():
        said = f"seen as this user, not as {unit.user}"
        yield warning(subject, said, "run the doctor as root")
    reads = [path for path in (settings.outbox, settings.cohort, settings.trust) if path]
    if settings.trust is not None and ledger_beside(settings.trust).exists():
        reads.append(ledger_beside(settings.trust))
    for path in reads:
        if not path.exists():
            yield fault(subject, f"{path} is missing", "make it, or change node.toml")
        elif not _may(unit.user, "-r", path):
            remedy = "run install.sh as root again, which gives its group the right"
            yield fault(subject, f"{unit.user} cannot read {path}", remedy)
        elif _may(unit.user, "-w", path):
            remedy = f"chmod g-w,o-w {path}, and give it another owner"
            yield warning(subject, f"{unit.user} can write {path}, and need not", remedy)
        else:
            yield ok(subject, f"{unit.user} reads {path}")
    if settings.state.exists() and not _may(unit.user, "-w", settings.state):
        yield fault(subject, f"{unit.user} cannot write {settings.state}", "run install.sh as root")
    for path in _secrets_near(settings.outbox):
        if _may(unit.user, "-r", path):
            yield fault(subject, f"{unit.user} can read {path}", f"chmod 600 {path}, as its owner")


def _secrets_near(outbox: Path) -> list[Path]:
    """What people here sign with, or look patients up in, where the guide has it."""
    found = [*outbox.parent.glob("keys/*.key"), *outbox.parent.glob("*-identities.csv")]
    return sorted(found)


def _budget(unit: _Unit, now: datetime) -> Iterator[Finding]:
    """How many models may still be counted, and how much of the day is left."""
    settings = unit.settings
    if settings.cohort is None:
        yield ok("budget", "no films are counted: the settings name no cohort")
        return
    try:
        record = read_counts(settings.state)
        work = _work(settings.state)
    except (GdshareError, OSError, ValueError) as error:
        yield fault(
            "budget", f"{settings.state}: a record cannot be read ({error})", "look into it"
        )
        return
    for split, limit in (
        ("validation", settings.validation_models),
        ("test", settings.test_models),
    ):
        left = limit - _counted(record, split)
        said = f"{split} films may be counted for {left} more models of {limit}"
        if left < FEW_MODELS:
            remedy = f"{split}-models in node.toml raises it, if the hospital agrees"
            yield warning("budget", said, remedy)
        else:
            yield ok("budget", said)
    spent = sum(work.of_the_day(now.astimezone(UTC)).values())
    yield ok("budget", f"{spent:.0f} s of {settings.daily_seconds} s computed in 24 hours")


def _counted(record: CountRecord, split: str) -> int:
    """Models counted of the cohort that was last counted."""
    if not record.entries:
        return 0
    cohort, test = record.entries[-1].cohort, split == "test"
    entries = [entry for entry in record.entries if entry.cohort == cohort]
    return len({entry.model for entry in entries if (entry.epsilon is not None) == test})


def _work(state: Path) -> Work:
    try:
        return Work.model_validate_json(read_plain(state / WORK, MAX_RECORD))
    except FileNotFoundError:
        return Work()
