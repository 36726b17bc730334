"""The options of ``gdshare aggregate``, each with its help; their defaults stand in the command."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.flower.order import Scheme
from gdshare.config import variable
from gdshare.protocol import MAX_ENSEMBLE

SuperLink = Annotated[
    str,
    typer.Option(
        envvar=variable("superlink"),
        metavar="HOST:PORT",
        help="The SuperLink, which runs on this machine.",
    ),
]
TrustFolder = Annotated[
    Path,
    typer.Option(
        envvar=variable("trust"),
        help="Folder of the hospitals' public keys, SITE.pub. Admissions and refusals are "
        "recorded beside it, in TRUST-ledger.jsonl.",
    ),
]
Out = Annotated[
    Path,
    typer.Option(help="Folder for model, table and refusals; a new one but for --resume."),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the round in --out, which was interrupted or waits for more "
        "hospitals; or follow it, if it is running. It keeps its own options but for --sites, "
        "--minimum, --wait, --timeout and --deadline, where they are typed.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        envvar=variable("name"),
        help="This aggregator's short name, by which hospitals list it as a recipient.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        envvar=variable("key"),
        help="The aggregator's own private key, NAME.key: signs a receipt for each bundle that "
        "is admitted or refused, in OUT/receipts, for its hospital. Takes --name.",
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        envvar=variable("reference"),
        help="A labelled cohort of your own (gdshare label), on which networks trained from "
        "each bundle alone must beat chance. Without it: the hospitals' validation films.",
    ),
]
AnnouncementFolder = Annotated[
    Path | None,
    typer.Option(
        "--announcement",
        metavar="FOLDER",
        help="What gdshare announce made: only bundles that were distilled for its θ0 are "
        "admitted. Without it: those distilled for what most are, but for shared models.",
    ),
]
Pooling = Annotated[Scheme, typer.Option(help="How a network is trained from all bundles.")]
Ensemble = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_ENSEMBLE,
        help="Networks to train, each from initial weights of its own; they vote together. "
        "45 MB each to every hospital with ResNet18. Source: 1.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Decides initial weights and intervals.")]
Sites = Annotated[int, typer.Option(min=1, envvar=variable("sites"), help="Hospitals to wait for.")]
Minimum = Annotated[
    int,
    typer.Option(
        min=1,
        help="With fewer hospitals nothing is trained, and no test film is counted: the round "
        "stops, and --resume goes on with it.",
    ),
]
Wait = Annotated[float, typer.Option(min=1, help="Seconds to wait for them.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds a hospital has for each answer.")]
Deadline = Annotated[
    float | None,
    typer.Option(
        min=1,
        help="Seconds that each step (bundles, validation counts, test counts) waits for "
        "hospitals that are late, or cut off and come back; they are asked again. Default: "
        "--timeout, and only for those that were there.",
    ),
]
RootCertificates = Annotated[
    Path | None,
    typer.Option(
        envvar=variable("root-certificates"),
        help="PEM of the authority behind the SuperLink's certificate.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar=variable("insecure"),
        help="No TLS; only where all runs on one machine.",
    ),
]
