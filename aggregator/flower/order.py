"""What one round is asked to do: the order, left in the results' folder for the ServerApp."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aggregator.flower.folder import ORDER
from gdshare.errors import FederationError
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.protocol import MAX_ENSEMBLE
from gdshare.signing.names import SiteName
from gdshare.storage import write_json

Scheme = Literal["average", "in-step", "sequential", "union"]
"""As in ``gdshare.pooling``, repeated here because importing that module imports torch."""
MINIMUM: Final = 2
"""The fewest hospitals whose bundles are a pool: of one, the model is that hospital's own, and all
others would spend test films on it. The rules that compare bundles want three."""


class Order(BaseModel):
    """A round's order.

    Attributes:
        trust: folder of the hospitals' public keys, ``NAME.pub`` each.
        ledger: the aggregator's, over all rounds.
        operator: who runs the round, for the ledger.
        name: the aggregator's own, by which hospitals name it as a recipient.
        reference: a labelled cohort of the operator's, on which each bundle's utility is tested.
        announcement: folder of the θ0 that the round's bundles must be distilled for; None: what
            most of them are distilled for, if it is drawn.
        pooling: how each network is trained from the bundles (method.md section 5).
        ensemble: how many networks are trained, each from its own θ0; they vote together.
        seed: decides every θ0, and intervals that are resampled.
        sites: how many nodes to wait for.
        minimum: with fewer hospitals no model is trained, and no test film is counted.
        wait: seconds to wait; then the round goes on with the nodes that are connected.
        timeout: seconds a node has for one answer.
        deadline: seconds that each step waits for hospitals that are late, or cut off and come
            back, and asks them again; None: ``timeout``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trust: Path
    ledger: Path
    operator: Annotated[str, Field(min_length=1, max_length=200)]
    name: SiteName | None = None
    reference: Path | None = None
    announcement: Path | None = None
    pooling: Scheme = "average"
    ensemble: Annotated[int, Field(ge=1, le=MAX_ENSEMBLE)] = 5
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    sites: Annotated[int, Field(ge=1, le=10_000)] = 1
    minimum: Annotated[int, Field(ge=1, le=10_000)] = MINIMUM
    wait: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    timeout: Annotated[float, Field(gt=0, le=86_400)] = 1800.0
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400)] | None = None


def write_order(out: Path, order: Order) -> None:
    """Leave the order in ``out``."""
    write_json(out / ORDER, order.model_dump(mode="json"))


def read_order(out: Path) -> Order:
    """Read the order left in ``out``.

    Raises:
        FederationError: no order, as on another machine than that of ``gdshare aggregate``.
    """
    try:
        return Order.model_validate_json(read_plain(out / ORDER, MAX_RECORD))
    except (OSError, ValidationError) as error:
        raise FederationError(
            "no readable order",
            out / ORDER,
            "run gdshare aggregate on the SuperLink's machine, as the same user",
        ) from error
