"""What the runs of a variant wrote: scores by training step, learned labels and rates."""

import numpy as np

from gdshare.distill.run_folder import read_result
from gdshare.report.run_page import read_training
from studies.networks import RUN
from studies.runner import Piece, Result


def read_runs(piece: Piece, parameters: None) -> Result:
    """The cell that reads the runs of all hospitals' distillations; it needs nothing else.

    Facts: ``patch_scores`` on validation patients and ``train_scores``, of every hospital. Arrays:
    ``steps`` [scores], ``scores`` [sites, scores], ``labels`` [sites, images, classes], ``rates``
    [sites, inner steps].
    """
    runs = [need.folder / RUN for need in piece.needs.values()]
    ends = [need.result for need in piece.needs.values()]
    curves, distilled = [read_training(r, "") for r in runs], [read_result(run) for run in runs]
    return Result(
        {
            "patch_scores": [end.number("patch_score") for end in ends],
            "train_scores": [end.number("train_score") for end in ends],
        },
        {
            "steps": np.array(curves[0].steps),
            "scores": np.array([curve.scores for curve in curves]),
            "labels": np.stack([own.labels for own in distilled]),
            "rates": np.stack([own.learning_rates for own in distilled]),
        },
    )
