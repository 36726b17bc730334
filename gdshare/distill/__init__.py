"""Distilling a cohort into a few soft-labelled images (Li et al. 2020, Algorithm 1).

``loop``
    the training steps of a run, from a cohort to a result: start reading here.
``in_memory``
    the same without a folder, for arrays.
``problem``
    what stays the same through a run, and its random draws.
``unroll``
    the inner steps (Eq. 1), the outer loss (Eq. 2) and the meta-gradients; ``chain`` has the
    network's derivatives.
``update``
    the outer update (Eq. 3).
``state``, ``folder``, ``journal``
    checkpoint, run folder, metrics.
``score``
    the patch score, by which the result is chosen; ``score_record`` keeps the result's own.
``workers``, ``precision``
    several processes; rounding.

The result (``gdshare.distilled``) and the settings (``gdshare.method``) stand apart, since whoever
reads a bundle needs them without torch.
"""
