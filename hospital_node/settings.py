"""What the site allows, as its own operator wrote it; nothing here comes from the network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import UsageError
from gdshare.suppression import LARGEST

DEFAULT_MINIMUM_FILMS = 10
DEFAULT_SUPPRESS_BELOW = 5
DEFAULT_TEST_MODELS = 20
DEFAULT_VALIDATION_MODELS = 60
DEFAULT_DAILY_SECONDS = 4 * 3600
DEFAULT_MEMORY_MIB = 8192


Positive = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]


class NodeSettings(BaseModel):
    """The node's settings: one TOML file of these keys, passed to SuperNode as ``--node-config``.

    Attributes:
        outbox: the folder into which a person releases bundles.
        state: a folder of the node's own, for the record of counts.
        cohort: its validation and test films may be counted; None: no counting.
        minimum_films: a split with fewer films is not counted.
        trust: public keys of the round's hospitals, by which their bundles are known; None: only
            ``untied_models`` are counted.
        announcements: folder of the announcements that somebody here consented to; None: bundles
            that were distilled for a shared model are not trained from.
        suppress_below: no cell of counts that leave holds fewer films than this, unless none.
        test_models: with how many different models, ever, this cohort's test films may be counted.
        validation_models: the same of its validation films.
        noise_epsilon: every answer gets noise that spends this ε, at δ = 1e-6; None: no noise.
        noise_budget: the most that all answers about a split may spend together; None: no limit
            but that of models.
        untied_models: how many of these, of either split, may be weights that somebody sent, which
            this node did not train from bundles.
        daily_seconds: how much is computed for others in 24 hours, of the clock or of the
            processor, whichever is more.
        memory_mib: how much memory the process that answers may take, in MiB; 0: no limit; None:
            8 GiB on the processor, no limit on cuda, whose driver claims more than it uses.
        device: where films are classified.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-")
    )

    outbox: Path
    state: Path
    cohort: Path | None = None
    trust: Path | None = None
    announcements: Path | None = None
    minimum_films: Annotated[int, Field(ge=1)] = DEFAULT_MINIMUM_FILMS
    suppress_below: Annotated[int, Field(ge=1, le=LARGEST)] = DEFAULT_SUPPRESS_BELOW
    test_models: Annotated[int, Field(ge=0)] = DEFAULT_TEST_MODELS
    validation_models: Annotated[int, Field(ge=0)] = DEFAULT_VALIDATION_MODELS
    noise_epsilon: Positive | None = None
    noise_budget: Positive | None = None
    untied_models: Annotated[int, Field(ge=0)] = 0
    daily_seconds: Annotated[int, Field(ge=1)] = DEFAULT_DAILY_SECONDS
    memory_mib: Annotated[int, Field(ge=0, le=1 << 30)] | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    @property
    def memory_limit_mib(self) -> int:
        """``memory_mib``, or what it is by default; 0: no limit."""
        if self.memory_mib is not None:
            return self.memory_mib
        return DEFAULT_MEMORY_MIB if self.device == "cpu" else 0

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Self:
        """Read settings from a TOML table or from Flower's node configuration.

        Raises:
            UsageError: a key is missing, unknown, of a wrong kind or without use, or a path is not
                absolute: no setting depends on the folder the node was started in.
        """
        try:
            settings = cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{name}: {first['msg'].lower()}",
                "node settings",
                "see docs/guide-node.md",
            ) from error
        named = (settings.cohort, settings.trust, settings.announcements)
        for path in (settings.outbox, settings.state, *named):
            if path is not None and not path.is_absolute():
                raise UsageError(
                    f"{path} is not an absolute path", "node settings", "write it in full"
                )
        settings._require_use()
        return settings

    def _require_use(self) -> None:
        """Refuse settings that look as if they did something, and do nothing."""
        if self.cohort is not None and self.trust is None and not self.untied_models:
            raise UsageError(
                "there is a cohort, but no trust, the list of keys without which none of its films "
                "is counted",
                "node settings",
                "make one with gdshare trust add (docs/guide-node.md)",
            )
        if self.noise_budget is not None and self.noise_epsilon is None:
            raise UsageError(
                "noise-budget limits nothing without noise-epsilon", "node settings", "set both"
            )
