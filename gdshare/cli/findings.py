"""Printing what a check of a set-up found."""

import logging
from collections.abc import Sequence

import typer

from gdshare.cli.exit_status import REFUSED
from gdshare.cli.terminal import print_json, print_line
from gdshare.deploy.finding import Finding, State, has_fault

log = logging.getLogger(__name__)


def print_findings(findings: Sequence[Finding], as_json: bool, title: str) -> None:
    """Print each finding with its remedy; exits with 3 if one is a fault.

    Args:
        findings: at least one.
        as_json: print a JSON object, with ``ok`` and ``findings``.
        title: what was examined, for the last sentence.

    Raises:
        typer.Exit: status 3, after one sentence on stderr.
    """
    if as_json:
        good = not has_fault(findings)
        print_json({"ok": good, "findings": [finding.as_data() for finding in findings]})
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            print_line(f"{finding.state:<7}  {finding.subject:<{width}}  {finding.what}{remedy}")
    faults = [finding for finding in findings if finding.state is State.FAULT]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        log.error("%s: %s%s; %s", title, faults[0].what, more, faults[0].remedy)
        raise typer.Exit(REFUSED)
