"""``gdshare node init``, ``gdshare node certificate`` and ``gdshare node doctor``."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.findings import print_findings
from gdshare.cli.terminal import AsJson, print_facts, print_line
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.config import variable
from gdshare.deploy.node_request import SUFFIX
from gdshare.extras import require_extra
from hospital_node.setup.place import INSTALL, NodePlace
from hospital_node.setup.write import read_reply, write_node, write_reply

_DEFAULT = NodePlace.model_fields
FOLDER = Path("/etc/gdshare")
Folder = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="The folder of gdshare node init.")
]


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="New folder for it, such as /etc/gdshare.")
    ],
    site: Annotated[str, typer.Option(envvar=variable("site"), help="The hospital's short name.")],
    superlink: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The aggregator's, as its operator gives it.")
    ],
    work: Annotated[Path, typer.Option(help="Where outbox, cohort and peers lie.")] = _DEFAULT[
        "work"
    ].default,
    films: Annotated[
        list[Path] | None, typer.Option(help="A folder of the cohort's films, if elsewhere.")
    ] = None,
    state: Annotated[Path, typer.Option(help="Folder of the node's own records.")] = _DEFAULT[
        "state"
    ].default,
    logs: Annotated[Path, typer.Option(help="Folder of its log.")] = _DEFAULT["logs"].default,
    user: Annotated[str, typer.Option(help="Its user, which install.sh makes.")] = "gdshare-node",
    counts: Annotated[
        bool, typer.Option("--count/--no-count", help="Whether films are counted for others.")
    ] = True,
    only_to: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="What it may call: the aggregator, the name server."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Make the node's keys, its request, its settings, and the unit that starts it.

    Send SITE.node-request to the aggregator, and read out its fingerprint on the phone. The answer
    is taken by gdshare node certificate; then read install.sh, and run it as root.
    """
    place = NodePlace.of(
        site=site,
        superlink=superlink,
        folder=folder.absolute(),
        work=work.absolute(),
        films=tuple(path.absolute() for path in films or ()),
        state=state.absolute(),
        logs=logs.absolute(),
        user=user,
        counts=counts,
        only_to=tuple(only_to or ()),
        device=device,
        bin=Path(sys.executable).parent,
    )
    request = write_node(place)
    facts = {
        "made": place.folder,
        "request (send)": place.folder / f"{site}{SUFFIX}",
        "fingerprint (read it out)": request.fingerprint,
    }
    print_facts(facts, as_json)
    if not as_json:
        print_line("when the answer is there  gdshare node certificate")


def certificate(
    reply: Annotated[
        Path, typer.Argument(metavar="SITE.pem", help="What the aggregator sent back.")
    ],
    typed: Annotated[
        str,
        typer.Option(
            "--fingerprint",
            help="The authority's, as the aggregator read it to you over the phone, or its first "
            f"{LEAST_DIGITS} digits or more.",
        ),
    ],
    folder: Folder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Take the certificate that the aggregator signed, and whom the node is to believe.

    It must be for this node's key. Whoever has another authority's file taken here passes for the
    aggregator: hence the phone.
    """
    answer = read_reply(reply, folder)
    remedy = "call the aggregator before you take it"
    require_match(answer.fingerprint, typed, "--fingerprint", remedy)
    own, authority = write_reply(answer, folder)
    facts = {
        "certificate": own,
        "authority": authority,
        "go on as root with": f"sh {folder / INSTALL}",
    }
    print_facts(facts, as_json)


def doctor(folder: Folder = FOLDER, as_json: AsJson = False) -> None:
    """Examine this node, and say for each fault what to do; root sees as the node's user does.

    Clock, certificates (30 days ahead), keys, registration, reachability, versions, disk, what its
    user can read, and how many models may still be counted. Exits with 3 if there is a fault.
    """
    require_extra("federation")
    from hospital_node.setup.doctor import examine  # noqa: PLC0415 - Flower takes seconds to load

    print_findings(examine(folder, datetime.now(UTC)), as_json, "node")


def setup_app() -> typer.Typer:
    """The three commands."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.command()(init)
    app.command()(certificate)
    app.command()(doctor)
    return app
