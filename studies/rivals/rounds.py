"""Federated rounds in one process: hospitals train in turn, and Flower's strategy aggregates."""

from collections.abc import Callable, Sequence

from flwr.app import ArrayRecord, Message, MessageType, Metadata, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from gdshare.errors import RunError
from gdshare.networks import Parameters

Local = Callable[[Parameters, int, int], Parameters]  # θ, hospital, round from 0 -> its own θ


def aggregate(
    strategy: FedAvg, number: int, ends: Sequence[Parameters], patients: Sequence[int]
) -> Parameters:
    """The strategy's aggregate of hospitals' weights; each counts as its patients."""
    replies = [
        # As Flower's own processes make it: what is public wants a task of a SuperLink's.
        Message(  # type: ignore[call-overload]
            content=RecordDict(
                {
                    strategy.arrayrecord_key: ArrayRecord(dict(theta)),
                    "metrics": MetricRecord({strategy.weighted_by_key: count}),
                }
            ),
            metadata=Metadata(1, "", site, 0, "", str(number), 0.0, 1.0, MessageType.TRAIN),
        )
        for site, (theta, count) in enumerate(zip(ends, patients, strict=True), start=1)
    ]
    arrays, _ = strategy.aggregate_train(number, replies)
    if arrays is None:
        raise RunError("the strategy aggregated nothing")
    return dict(arrays.to_torch_state_dict())


def federate(
    strategy: FedAvg, theta0: Parameters, local: Local, patients: Sequence[int], rounds: int
) -> list[Parameters]:
    """The common weights after each round."""
    theta, after = theta0, list[Parameters]()
    for number in range(rounds):
        ends = [local(theta, site, number) for site in range(len(patients))]
        theta = aggregate(strategy, number + 1, ends, patients)
        after.append(theta)
    return after
