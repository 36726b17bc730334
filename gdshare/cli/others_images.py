"""Others' images that help a training on own films: ``gdshare train COHORT --from BUNDLE``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from pydantic import JsonValue

from gdshare.signing.names import format_utc

if TYPE_CHECKING:
    from gdshare.cohort import Cohort
    from gdshare.contributions import Source
    from gdshare.pooling import Scheme
    from gdshare.training import TrainedReal, Transfer
    from gdshare.training_folder import TrainingRecord, Use

USE: "Use" = "start"
POOLING: "Scheme" = "average"


@dataclass(frozen=True)
class Others:
    """Others' images, and how they are used.

    Attributes:
        sources: the images, of one patch protocol.
        words: the options that name them, to continue with.
        use, pooling: None before ``after``, where nobody gave them.
    """

    sources: "Sequence[Source]"
    words: Sequence[str]
    use: "Use | None"
    pooling: "Scheme | None"

    @property
    def network(self) -> str:
        """The network that the images were distilled on."""
        return self.sources[0].contribution.method.network

    def after(self, record: "TrainingRecord | None") -> Self:
        """With what nobody gave, from the record of the training to resume, or the defaults."""
        use = self.use or (record and record.use) or USE
        return replace(
            self, use=use, pooling=self.pooling or (record and record.pooling) or POOLING
        )

    def require_protocol(self, cohorts: "Sequence[Cohort]") -> None:
        """Refuse cohorts that were cut by another protocol than the images' (UsageError)."""
        for cohort in cohorts:
            self.sources[0].protocol.require_same(cohort.protocol, f"cohort {cohort.path}")

    def on(self, record: "TrainingRecord") -> "TrainingRecord":
        """The record of a training that these images help."""
        from gdshare.training import MIX_WEIGHTS

        return record.model_copy(update={**self._facts, "weights": MIX_WEIGHTS})

    def transfer(self, seed: int) -> "Transfer":
        """What the training takes from the images; the seed is the training's."""
        from gdshare.transfer import transfer_from

        contributions = [source.contribution for source in self.sources]
        protocol = self.sources[0].protocol
        return transfer_from(
            contributions, protocol, self.use or USE, self.pooling or POOLING, seed
        )

    def origin(self, result: "TrainedReal", seed: int) -> dict[str, JsonValue]:
        """What the model's record says of the images, and of their terms."""
        facts: dict[str, Any] = {**self._facts, "bundles": self._facts["others"]}
        del facts["others"]
        facts |= {"weight": result.weight, "others_score": result.others_score, "seed": seed}
        return facts | {"terms": {s.name: _terms(s) for s in self.sources if s.manifest}}

    @property
    def _facts(self) -> dict[str, Any]:
        others = {source.name: source.digest for source in self.sources}
        return {"use": self.use, "pooling": self.pooling, "others": others}


def _terms(source: "Source") -> dict[str, JsonValue]:
    if source.manifest is None:
        return {}
    terms: dict[str, JsonValue] = source.manifest.terms.model_dump(mode="json")
    return terms | {"expires": format_utc(source.manifest.expires)}
