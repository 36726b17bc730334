"""``gdshare.json``: the bundle's manifest. Closed, frozen, and without a seed.

Bundles of 1.0 and 1.1 are read for ever. What 1.1 adds is in ``SINCE_1_1`` of the manifest's parts:
a manifest of 1.0 has none of these fields, and means the values given there. What 1.1 renames is in
``SPELLED_IN_1_0``. 1.2 adds ``privacy``, and what is in ``SINCE_1_2``. A manifest is of 1.2 exactly
if it states a guarantee: the others are written as 1.1, for readers who know no more.

Source: docs/bundle-format.md, section "gdshare.json".
"""

from datetime import timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from gdshare.bundle.attacks import Attack
from gdshare.bundle.counts import PublishedCounts
from gdshare.bundle.errors import MalformedManifest, UnknownFormat
from gdshare.bundle.guarantee import Guarantee
from gdshare.bundle.layout import MANIFEST
from gdshare.bundle.terms import Terms
from gdshare.method import Method
from gdshare.protocol import CLASSES, Protocol, Versioned
from gdshare.signing import canonical
from gdshare.signing.errors import SEND_AGAIN, quoted
from gdshare.signing.names import Digest, Instant, SiteName

FORMAT_1_0: Final = "gdshare-bundle/1.0"
FORMAT_1_1: Final = "gdshare-bundle/1.1"
"""Of a bundle without a guarantee."""
FORMAT_1_2: Final = "gdshare-bundle/1.2"
"""Of a bundle with one."""
FORMATS: Final = (FORMAT_1_0, FORMAT_1_1, FORMAT_1_2)
LONGEST_LIFE = timedelta(days=3660)


Initialiser = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}/[1-9][0-9]{0,3}$")]


class Manifest(BaseModel):
    """Everything a reader needs to use the tensors, and nothing about any single patient.

    Attributes:
        format: version of the bundle format; new bundles have 1.1, and 1.2 with a guarantee.
        site: the hospital's short name: lower-case letters, digits, inner hyphens; 32 at most.
        sequence: numbers a site's bundles, from 1 upwards.
        created: UTC, whole seconds (``gdshare publish`` rounds down to the whole hour).
        expires: UTC, whole seconds; from this moment on the bundle is refused.
        classes: the classes' letters in the order of the soft labels' columns.
        start: what the images were before the first training step; never a real patch.
        protocol: how patches were cut, labelled and normalised.
        initialiser: name and version of the scheme that θ0 is drawn by.
        theta0_sha256: digest of the announced θ0 (``networks.digest``), since another torch draws
            other weights from the same seed; None when θ0 was random.
        method: Algorithm 1's settings.
        counts: how much data was read, small counts suppressed.
        attacks: the attacks that were tried and their results, sorted by name. None with a
            guarantee, whose account they would be outside of.
        privacy: the guarantee that the hospital states; None: it states none.
        terms: for what, by whom and for how long it may be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["gdshare-bundle/1.0", "gdshare-bundle/1.1", "gdshare-bundle/1.2"] = FORMAT_1_1
    site: SiteName
    sequence: Annotated[int, Field(ge=1, le=999_999_999)]
    created: Instant
    expires: Instant
    classes: Literal["I,N,P"] = "I,N,P"
    start: Literal["noise"] = "noise"
    protocol: Protocol
    initialiser: Initialiser
    theta0_sha256: Digest | None
    method: Method
    counts: PublishedCounts
    attacks: Annotated[tuple[Attack, ...], Field(max_length=20)]
    privacy: Guarantee | None = None
    terms: Terms

    @model_validator(mode="after")
    def _times_make_sense(self) -> Self:
        for name, moment in (("created", self.created), ("expires", self.expires)):
            if moment.utcoffset() != timedelta(0) or moment.microsecond:
                raise ValueError(f"{name} must be in UTC and whole seconds")
            if not 2020 <= moment.year < 2200:
                raise ValueError(f"{name} lies outside the years 2020 to 2199")
        if not timedelta(0) < self.expires - self.created <= LONGEST_LIFE:
            raise ValueError(f"expires must follow created by at most {LONGEST_LIFE.days} days")
        return self

    @model_validator(mode="after")
    def _parts_are_exact(self) -> Self:
        # A run's Settings are a Method too, and carry the seed: they must never get in here.
        exact = {"protocol": Protocol, "method": Method, "counts": PublishedCounts, "terms": Terms}
        for name, kind in exact.items():
            if type(getattr(self, name)) is not kind:
                raise ValueError(f"{name} must be exactly a {kind.__name__}")
        return self

    @model_validator(mode="after")
    def _fields_are_of_the_version(self) -> Self:
        for name, part in self._versioned().items():
            since = {
                FORMAT_1_0: {*part.SINCE_1_1, *part.SINCE_1_2},
                FORMAT_1_1: {*part.SINCE_1_2},
            }
            later = since.get(self.format, set()) - part.implied
            if later:
                raise ValueError(f"{name}.{min(later)} has a value that {self.format} cannot say")
        return self

    @model_validator(mode="after")
    def _a_guarantee_is_whole(self) -> Self:
        stated = self.privacy is not None
        if stated != (self.format == FORMAT_1_2):
            raise ValueError(f"privacy must be there in {FORMAT_1_2}, and only there")
        if stated != self.counts.noisy:
            raise ValueError("counts.noisy must be true with privacy, and only then")
        if stated and self.attacks:
            raise ValueError("attacks must be empty with privacy: their figures are outside of it")
        if stated and self.protocol.normalisation == "site":
            raise ValueError("protocol.normalisation cannot be of a site with privacy")
        return self

    @model_validator(mode="after")
    def _announced_weights_are_named(self) -> Self:
        if (self.method.theta0 == "announced") != (self.theta0_sha256 is not None):
            raise ValueError("theta0_sha256 must be there when theta0 is announced, and only then")
        return self

    @model_validator(mode="after")
    def _attacks_in_one_order(self) -> Self:
        names = [attack.name for attack in self.attacks]
        if names != sorted(set(names)):
            raise ValueError("attacks must be sorted by name, each listed once")
        return self

    @property
    def name(self) -> str:
        """The bundle's folder name, ``SITE-SEQUENCE``."""
        return f"{self.site}-{self.sequence}"

    @property
    def starting_weights(self) -> str:
        """The method's θ0, in the word of the manifest's format."""
        method = self.method
        return str(method.as_1_0()["theta0"]) if self.format == FORMAT_1_0 else method.theta0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Give the shape each float32 tensor must have."""
        rates = self.method.trajectory if self.method.inner_rates == "per-step" else 1
        side = self.protocol.side
        return {
            "images": (self.method.images, 1, side, side),
            "labels": (self.method.images, len(CLASSES)),
            "learning_rates": (rates,),
        }

    def to_bytes(self) -> bytes:
        """Write the manifest in its one form (canonical.pretty); floats round-trip exactly."""
        values = self.model_dump(mode="json")
        if self.format == FORMAT_1_0:
            values |= {name: part.as_1_0() for name, part in self._versioned().items()}
        elif self.format == FORMAT_1_1:
            values |= {name: part.as_1_1() for name, part in self._versioned().items()}
        if self.privacy is None:
            del values["privacy"]
        return canonical.pretty(values)

    def _versioned(self) -> dict[str, Versioned]:
        """The parts that differ in earlier formats."""
        return {"protocol": self.protocol, "method": self.method, "counts": self.counts}

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read ``gdshare.json``.

        Args:
            data: the file, already within its size bound.

        Raises:
            UnknownFormat: another format or version.
            MalformedManifest: not JSON, or a field missing, unknown or out of bounds.
            NotCanonical: a repeated key, or not written in the one form.
        """
        value = canonical.parse(data, MANIFEST, MalformedManifest)
        if not isinstance(value, dict):
            raise MalformedManifest(f"{MANIFEST} is not a JSON object", remedy=SEND_AGAIN)
        if isinstance(value.get("format"), str) and value["format"] not in FORMATS:
            raise UnknownFormat(
                f"{MANIFEST} says format {quoted(value['format'])} and this gdshare "
                f"reads only {', '.join(FORMATS)}",
                remedy="update gdshare, or ask the hospital which version it uses",
            )
        try:
            manifest = cls.model_validate_json(data)
        except ValidationError as fault:
            raise MalformedManifest(first_problem(fault), MANIFEST, SEND_AGAIN) from None
        canonical.require_same(data, manifest.to_bytes(), MANIFEST)
        return manifest


def first_problem(fault: ValidationError) -> str:
    """Tell the first thing pydantic objects to: which field, and why."""
    problem = fault.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{quoted(where)}: {problem['msg']}" if where else problem["msg"]
