"""``gdshare policy``: make the first policy of an outbox, look at it, and sign the next."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle.guarantee import LARGEST_EPSILON
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import (
    AsJson,
    DryRun,
    print_facts,
    print_json,
    print_line,
    print_text,
)
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.ledger import Entry, open_ledger, read_ledger
from gdshare.release.bounds import STANDARD_BOUNDS
from gdshare.release.locked_outbox import require_owner
from gdshare.release.pinned import (
    adopt_policy,
    begin_policy,
    last_pin,
    pinned_policy,
    policy_in_force,
    propose_policy,
    restore_policy,
    signatures_needed,
    signers_of,
)
from gdshare.release.policy import (
    Policy,
    PrivacyRules,
    ReleaseRules,
    parse_policy,
    policy_digest,
    policy_path,
    read_policy_file,
    write_policy,
)
from gdshare.release.publish import ledger_beside
from gdshare.signing import fingerprint, load_private_key, load_public_key
from gdshare.signing.names import HEX_DIGEST, SITE

Outbox = Annotated[
    Path,
    typer.Option(
        envvar=variable("outbox"),
        help="Folder from which the node hands bundles over; the policy is its.",
    ),
]
By = Annotated[
    str | None, typer.Option(help="Your name for the ledger. Default: this computer's user.")
]


def new(
    outbox: Outbox,
    site: Annotated[
        str,
        typer.Option(
            envvar=variable("site"), help="The hospital's short name, visible to the others."
        ),
    ],
    rules: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="The policy, TOML. Default: OUTBOX-policy.toml if it is there, or else a new one "
            "with the default rules and the approvers given here.",
        ),
    ] = None,
    approver: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME.pub|FINGERPRINT",
            help="The key of somebody who may approve releases and sign the next policy. "
            "Repeatable.",
        ),
    ] = None,
    approvals: Annotated[
        int | None,
        typer.Option(
            min=1, max=10, help="How many of them must approve a release. Default: 1, if any."
        ),
    ] = None,
    max_epsilon: Annotated[
        float | None,
        typer.Option(
            help="Let out only bundles with a guarantee of at most this ε (gdshare distill "
            "--epsilon), in place of bounds on attacks.",
        ),
    ] = None,
    by: By = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring an outbox's first policy into force: it is named in the ledger from then on.

    A new one with approvers has bounds on what attacks may find (gdshare audit), which an approver
    can override: default runs pass them, images that leak on purpose do not.

    Whoever changes OUTBOX-policy.toml afterwards stops all releases: another policy comes into
    force only when approvers of this one have signed it, with gdshare policy sign. A policy
    without approvers can be replaced by this command again.
    """
    if not re.fullmatch(SITE, site):
        raise UsageError(
            "cannot name a hospital",
            f"--site {site!r:.50}",
            "use lower-case letters, digits and hyphens, 32 characters at most",
        )
    with open_ledger(ledger_beside(outbox)) as ledger:
        require_owner(outbox, ledger.entries, site)
        content = _first_policy(outbox, rules, approver or (), approvals, max_epsilon)
        policy = parse_policy(content, rules or policy_path(outbox))
        if not dry_run:
            begin_policy(outbox, ledger, content, site, operator_name(by), datetime.now(UTC))
    if as_json:
        return print_json(_description(policy) | {"site": site, "in_force": not dry_run})
    print_line(f"{'would be in force' if dry_run else 'in force'}   {policy_path(outbox)}")
    print_line(f"outbox of  {site}")
    _print_policy(policy)
    return None


def show(
    outbox: Outbox,
    rules: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A policy to compare with the one in force."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the policy in force; or another, with what it would change and who has signed it."""
    entries = read_ledger(ledger_beside(outbox))
    if rules is None:
        return _show_in_force(policy_in_force(outbox, entries), as_json)
    pinned = pinned_policy(outbox, entries) or Policy()
    policy = parse_policy(read_policy_file(rules), rules)
    signers = _signers(outbox, entries, pinned, policy)
    if as_json:
        more = {
            "in_force": policy == pinned,
            "signed": signers,
            "changes": _changes(pinned, policy),
        }
        return print_json(_description(policy) | more)
    _print_policy(policy)
    for line in _changes(pinned, policy) or ["nothing: it is the policy in force"]:
        print_line(f"changes    {line}")
    _print_signers(signers, pinned)
    return None


def _show_in_force(policy: Policy, as_json: bool) -> None:
    if as_json:
        return print_json(_description(policy))
    _print_policy(policy)
    print_text(write_policy(policy).decode())
    return None


def sign(
    rules: Annotated[Path, typer.Argument(metavar="FILE", help="The next policy, TOML.")],
    key: Annotated[
        Path, typer.Option(envvar=variable("approver-key"), help="Your own private key, NAME.key.")
    ],
    outbox: Outbox,
    digest: Annotated[
        str,
        typer.Option(
            help=f"The policy's digest from gdshare policy show, at least its first {LEAST_DIGITS} "
            "digits; shows that you looked at what you sign."
        ),
    ],
    by: By = None,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Agree, as an approver of the policy in force, that FILE is the next.

    It comes into force as soon as as many approvers have signed it as must approve a release. Look
    at it first: gdshare policy show FILE.
    """
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    with open_ledger(ledger_beside(outbox)) as ledger:
        content, operator = read_policy_file(rules), operator_name(by)
        policy = parse_policy(content, rules)
        require_match(policy_digest(policy), digest, "--digest", f"see gdshare policy show {rules}")
        before = pinned_policy(outbox, ledger.entries)
        if policy == before:
            restore_policy(outbox, content)
            return print_facts({"in force already": policy_digest(policy)}, as_json)
        signers = propose_policy(outbox, ledger, content, operator, secret, dry_run=dry_run)
        enough = before is not None and len(signers) >= signatures_needed(before)
        if enough and not dry_run:
            adopt_policy(outbox, ledger, content, operator, datetime.now(UTC))
    if as_json:
        signed = {"policy": policy_digest(policy), "signed": signers}
        return print_json(signed | {"in_force": enough and not dry_run})
    print_line(f"{'would sign' if dry_run else 'signed'}     {policy_digest(policy)}")
    _print_signers(signers, before or Policy())
    if enough:
        print_line(f"{'would be in force' if dry_run else 'in force'}   {policy_path(outbox)}")
    return None


def _first_policy(
    outbox: Path,
    rules: Path | None,
    approvers: list[str] | tuple[()],
    approvals: int | None,
    max_epsilon: float | None,
) -> bytes:
    """The text that is to come into force."""
    path = policy_path(outbox)
    if rules is None and not path.exists():
        return write_policy(_default_policy(approvers, approvals, max_epsilon))
    if approvers or approvals or max_epsilon is not None:
        raise UsageError(
            "the policy is read from a file, which names the approvers and the bounds",
            rules or path,
            "leave out --approver, --approvals and --max-epsilon, or the file",
        )
    if rules is not None and path.exists() and not path.samefile(rules):
        raise UsageError(
            "is there already", path, "leave out FILE to use it, or remove it to use FILE"
        )
    return read_policy_file(rules or path)


def _default_policy(
    approvers: list[str] | tuple[()], approvals: int | None, max_epsilon: float | None
) -> Policy:
    """With a guarantee, or, where somebody is there to override them, with bounds on attacks."""
    names = tuple(_fingerprint(text) for text in approvers)
    needed = approvals or min(1, len(names))
    if needed > len(set(names)):
        raise UsageError(
            f"asks for more people than the {len(set(names))} that --approver names",
            f"--approvals {needed}",
            "name them all",
        )
    release = ReleaseRules(approvals=needed, approvers=names, one_shot=not needed)
    if max_epsilon is not None:
        if not 0.0 < max_epsilon <= LARGEST_EPSILON:  # nor is nan
            raise UsageError(
                "is no ε that a bundle may have",
                f"--max-epsilon {max_epsilon:g}",
                f"choose one above 0, and {LARGEST_EPSILON:g} at most",
            )
        return Policy(privacy=PrivacyRules(max_epsilon=max_epsilon), release=release)
    bounds = {name: own.highest for name, own in STANDARD_BOUNDS.items()} if needed else {}
    return Policy(attacks=bounds, release=release)


def _fingerprint(text: str) -> str:
    """Of a key that is given as a file, or by its fingerprint."""
    digits = "".join(text.split()).lower()
    return digits if HEX_DIGEST.fullmatch(digits) else fingerprint(load_public_key(Path(text)))


def _signers(outbox: Path, entries: list[Entry], pinned: Policy, policy: Policy) -> tuple[str, ...]:
    pin = last_pin(entries)
    return () if pin is None else signers_of(outbox, pin, pinned, policy_digest(policy))


def _description(policy: Policy) -> dict[str, object]:
    return {
        "digest": policy_digest(policy),
        "signatures_for_the_next": signatures_needed(policy),
        "policy": policy.model_dump(mode="json", by_alias=True),
    }


def _changes(before: Policy, after: Policy) -> list[str]:
    """The lines that differ, by rule."""
    old, new = (_rules(policy) for policy in (before, after))
    return [
        f"{name}: {old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]


def _rules(policy: Policy) -> dict[str, object]:
    tables = policy.model_dump(mode="json", by_alias=True)
    return {
        f"{table}.{name}": value for table, rules in tables.items() for name, value in rules.items()
    }


def _print_policy(policy: Policy) -> None:
    needed, approvers = signatures_needed(policy), len(set(policy.release.approvers))
    print_line(f"digest     {policy_digest(policy)}")
    print_line(
        f"replaced   by a policy that {needed} of {approvers} approvers sign"
        if needed
        else "replaced   by anybody who can write here: it names no approvers"
    )


def _print_signers(signers: tuple[str, ...], before: Policy) -> None:
    print_line(f"signatures {len(signers)} of {signatures_needed(before)}")
    for signer in signers:
        print_line(f"           {signer}")


def register(app: typer.Typer) -> None:
    """Add ``policy`` and its commands to the app."""
    policy = typer.Typer(no_args_is_help=True, help="What may leave an outbox, and who must agree.")
    policy.command()(new)
    policy.command()(show)
    policy.command()(sign)
    app.add_typer(policy, name="policy")
