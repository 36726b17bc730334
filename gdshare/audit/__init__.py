"""Attacks on distilled images, run at the hospital before anything leaves.

Patients are in or out beforehand: a cohort's training patients are members, its test patients are
not. Most attacks ask whether the images tell them apart, at the level of patients.

``identifiers/1``
    The share of the names, numbers and paths known at the site that stand in what would leave.
``membership-loss/1``
    Networks are trained on the images as a receiver would. The lower their mean loss on a patient's
    patches, the more likely a training patient. The figure is the area under the ROC curve,
    training against test patients of the same diagnosis; 0.5 is chance. Yeom et al. 2018.
``membership-lira/1``, ``membership-bundle/1``
    The likelihood ratio of a patient, calibrated by shadow distillations with and without that
    patient: of the trained networks' confidence, and of the bundle itself. Carlini et al. 2022.
``membership-shadows/1``
    The same on the shadows, in place of the images: how much distillations like the run give away.
``reidentification-lineup/1``
    The share of line-ups in which a training patient is picked from others of the same diagnosis,
    by another film of each, and the score of ``membership-bundle/1``; 1 / N is chance.
``nearest-patch/1``
    The largest correlation, inverted copies included, of any image with any patch of the training
    patients; 1 is a copy. Beside it the same with the patches of test patients, who had no part in
    the run.
``nearest-ratio/1``, ``nearest-features/1``
    How much nearer the images are to training patients' patches than to as many test patients', by
    pixels (any contrast, small shifts) and by features; 0 is no nearer, 1 is a copy.
``reconstruction-images/1``, ``reconstruction-networks/1``, ``reconstruction-trajectory/1``
    Marks are planted in single patients of distillations like the run, and sought in the images, in
    networks trained from them, and by gradient inversion in what the training did to the weights:
    how often a mark that is there stands out from one that is not; 0.5 is chance.

Each is also made on something that leaks, its control. If it does not find that leak, it counts for
nothing, and no bundle tells its figure. Another attack may find what these do not; no guarantee of
differential privacy follows.
"""

from gdshare.audit.record import ATTACKS, AUDIT, read_attacks, read_audit, write_audit

# ``audit_run`` is not imported here: it needs torch, and publishing does not.
__all__ = ["ATTACKS", "AUDIT", "read_attacks", "read_audit", "write_audit"]
