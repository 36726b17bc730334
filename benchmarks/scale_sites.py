"""The hospitals of ``benchmarks.scale``: drawn bundles, and a grid that answers for them all."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import load

from aggregator.flower.order import Order
from aggregator.trust.bundle_history import ADMIT, signed_with
from gdshare.bundle import Manifest, Terms, build_files
from gdshare.bundle.counts import published_counts
from gdshare.bundle.layout import BOUNDS, PREVIEW, TENSORS
from gdshare.distilled import Distilled
from gdshare.ledger import open_ledger
from gdshare.messages import (
    ANSWER_RECORD,
    REQUEST_RECORD,
    CountRequest,
    Counts,
    Recipe,
    counts_to_fields,
)
from gdshare.method import Counts as Read
from gdshare.method import Method, Settings
from gdshare.metrics import Confusion
from gdshare.networks import INITIALISERS, build, digest
from gdshare.protocol import PatchClass, Protocol
from gdshare.signing import fingerprint, new_key, public_pem
from gdshare.theta0 import announced_theta0

# Flower's own processes set these before an app runs; a Message cannot be made without them.
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
SIDE, FILMS = 32, 20
ABSENT, HOSTILE_SHARE = 0.3, 0.1
HOSTILE = ("altered", "flipped", "oversized", "noise", "replayed")
RATES = {"convnet": 0.1, "scattering": 1.0}
LOOKS = np.stack([np.full((1, SIDE, SIDE), level, np.float32) for level in (-1.1, -0.1, 0.2)])
LOOKS[PatchClass.P, :, :, ::2] += 1.0


@dataclass
class Federation:
    """Hospitals, what each of those that answer hands over, and the order of the round.

    Attributes:
        kinds: site -> ``honest`` or one of ``HOSTILE``; absent ones are not in it.
        bundles: node -> files.
        sites: node -> site.
    """

    order: Order
    now: datetime
    nodes: int
    kinds: dict[str, str] = field(default_factory=dict)
    bundles: dict[int, Mapping[str, bytes]] = field(default_factory=dict)
    sites: dict[int, str] = field(default_factory=dict)


def make_federation(folder: Path, sites: int, network: str) -> Federation:
    """Keys of all sites in a trust list, and bundles of those that answer."""
    trust, ledger = folder / "trust", folder / "trust-ledger.jsonl"
    trust.mkdir()
    order = Order(trust=trust, ledger=ledger, operator="a benchmark", sites=sites, seed=1)
    federation = Federation(order, NOW, sites)
    generator = np.random.default_rng(sites)
    absent, hostile = round(ABSENT * sites), round(HOSTILE_SHARE * sites)
    roles = ["absent"] * absent + [HOSTILE[n % len(HOSTILE)] for n in range(hostile)]
    roles = [str(role) for role in generator.permutation(roles + ["honest"] * (sites - len(roles)))]
    about = _manifest_fields(network)
    replayed: dict[str, str] = {}
    for node, role in enumerate(roles, start=1):
        site, key = f"site-{node}", new_key()
        (trust / f"{site}.pub").write_bytes(public_pem(key.public_key()))
        if role == "absent":
            continue
        manifest = Manifest(site=site, sequence=1, **about)  # type: ignore[arg-type]
        files = build_files(manifest, _images(role, manifest.method, node), b"no picture", key)
        federation.bundles[node] = _spoilt(files, role)
        federation.kinds[site], federation.sites[node] = role, site
        if role == "replayed":
            replayed[site] = fingerprint(key.public_key())
    with open_ledger(ledger) as written:
        for site, key_digest in replayed.items():
            why, newer = signed_with(key_digest), hashlib.sha256(site.encode()).hexdigest()
            written.write(NOW, ADMIT, "a benchmark", f"{site}-2", newer, why)
    return federation


def _manifest_fields(network: str) -> dict[str, object]:
    """What all bundles say alike."""
    method = Settings(network=network).method()  # type: ignore[arg-type]
    counts = {"patients_negative": 50, "patients_positive": 50}
    counts |= {"patches_i": 900, "patches_n": 900, "patches_p": 900}
    theta0 = None
    if method.theta0 == "announced":
        theta0 = digest(announced_theta0(method, build(network, SIDE)))
    return {
        "created": NOW - timedelta(days=1),
        "expires": NOW + timedelta(days=365),
        "protocol": Protocol(patch=75, stride=13, side=SIDE),
        "initialiser": INITIALISERS[network],
        "theta0_sha256": theta0,
        "method": method,
        "counts": published_counts(Read(**counts), 5),
        "attacks": (),
        "terms": Terms(),
    }


def _images(role: str, method: Method, seed: int) -> Distilled:
    """Dark, plain and striped images under a grain of each site's own, or what a poisoner sends."""
    generator = np.random.default_rng(seed)
    images = LOOKS + generator.normal(0, 0.2, LOOKS.shape)
    labels = np.eye(3) * 0.85 + 0.05
    if role == "noise":
        images = generator.normal(0, 1, LOOKS.shape)
    if role == "flipped":
        labels = labels[[PatchClass.I, PatchClass.P, PatchClass.N]]
    rates = np.full(method.trajectory, RATES[method.network], np.float32)
    return Distilled(images.astype(np.float32), labels.astype(np.float32), rates)


def _spoilt(files: Mapping[str, bytes], role: str) -> dict[str, bytes]:
    if role == "altered":
        content = bytearray(files[TENSORS])
        content[-1] ^= 1
        return {**files, TENSORS: bytes(content)}
    if role == "oversized":
        return {**files, PREVIEW: bytes(BOUNDS[PREVIEW] + 1)}
    return dict(files)


class VirtualClock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        """Seconds that were waited."""
        return self._seconds

    def sleep(self, seconds: float, /) -> None:
        """Let them pass."""
        self._seconds += seconds


class MemoryGrid(Grid):
    """Answers for all hospitals; ``questions`` counts what each kind of message asked."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.questions: dict[str, int] = {}
        self._taught: dict[bytes, float] = {}
        self._replies: dict[str, Message] = {}

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *_: object, **__: object) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return range(1, self.federation.nodes + 1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """A hospital that is there answers at once."""
        numbers = []
        for message in messages:
            reply = self._reply(message)
            numbers.append(message.metadata.message_id)
            if reply is not None:
                self._replies[message.metadata.message_id] = reply
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(number) for number in message_ids if number in self._replies]

    def send_and_receive(self, *_: object, **__: object) -> Iterable[Message]:
        raise NotImplementedError

    def _reply(self, message: Message) -> Message | None:
        node, kind = message.metadata.dst_node_id, message.metadata.message_type
        message.metadata.__dict__["_message_id"] = str(uuid4())  # as Flower numbers what it sends
        self.questions[kind] = self.questions.get(kind, 0) + 1
        if node not in self.federation.bundles:
            return None
        if kind == "query.collect":
            fields: Mapping[str, object] = self.federation.bundles[node]
        else:
            received = message.content.config_records[REQUEST_RECORD]
            fields = counts_to_fields(self._counts(node, dict(received)))
        content = RecordDict({ANSWER_RECORD: ConfigRecord(dict(fields))})  # type: ignore[arg-type]
        return Message(content, reply_to=message)

    def _counts(self, node: int, received: Mapping[str, object]) -> Counts:
        """Twenty films, whose ratios lie as far apart as the images teach."""
        request = CountRequest.from_fields(received)
        taught = 1.0
        if isinstance(request.model, Recipe) and len(request.model.bundles) == 1:
            [bundle] = request.model.bundles
            if not isinstance(bundle, str):
                taught = self._teaches(bundle[TENSORS])
        generator = np.random.default_rng(node)
        positive = np.arange(FILMS) % 2 == 0
        ratios = 1 / (1 + np.exp(-generator.normal(size=FILMS) - 1.5 * taught * (2 * positive - 1)))
        return Counts([_confusion(ratios, positive, at) for at in request.thresholds])

    def _teaches(self, tensors: bytes) -> float:
        """The cosine between what images labelled P and N differ by, and what honest ones do."""
        if tensors not in self._taught:
            values = load(tensors)
            shares = values["labels"][:, PatchClass.P] - values["labels"][:, PatchClass.N]
            own = np.tensordot(shares, values["images"], 1).ravel()
            honest = (LOOKS[PatchClass.P] - LOOKS[PatchClass.N]).ravel()
            cosine = own @ honest / np.linalg.norm(own) / np.linalg.norm(honest)
            self._taught[tensors] = float(cosine)
        return self._taught[tensors]


def _confusion(
    ratios: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_], epsilon: float
) -> Confusion:
    called = ratios >= epsilon
    return Confusion(
        tp=int((called & positive).sum()),
        fn=int((~called & positive).sum()),
        tn=int((~called & ~positive).sum()),
        fp=int((called & ~positive).sum()),
    )
