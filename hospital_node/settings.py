"""What the site allows, as its own operator wrote it down; nothing here comes from the network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import UsageError

DEFAULT_MINIMUM_FILMS = 10
DEFAULT_TEST_MODELS = 20


class NodeSettings(BaseModel):
    """The node's settings: one TOML file of these keys, passed to SuperNode as ``--node-config``.

    Attributes:
        outbox: the folder a person releases bundles into.
        state: a folder of the node's own, for the ledger of test counts.
        cohort: the cohort whose validation and test films may be voted on; none: no counting.
        minimum_films: a split with fewer films than this is not counted.
        test_models: on how many different models, ever, this cohort's test films may be counted.
        device: where votes are computed.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-")
    )

    outbox: Path
    state: Path
    cohort: Path | None = None
    minimum_films: Annotated[int, Field(ge=1)] = DEFAULT_MINIMUM_FILMS
    test_models: Annotated[int, Field(ge=0)] = DEFAULT_TEST_MODELS
    device: Literal["cpu", "cuda"] = "cpu"

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Self:
        """Read settings from a TOML table or from Flower's node configuration.

        Raises:
            UsageError: a key missing, unknown, or of a wrong kind, or a path that is not absolute
                (the node's working folder is nobody's business).
        """
        try:
            settings = cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"node settings: {name}: {first['msg'].lower()}",
                remedy="see docs/guide-aggregator.md",
            ) from error
        for path in (settings.outbox, settings.state, settings.cohort):
            if path is not None and not path.is_absolute():
                raise UsageError(
                    f"node settings: {path} is not an absolute path", remedy="write it in full"
                )
        return settings
