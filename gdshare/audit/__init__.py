"""Attacks on distilled images, run at the hospital before anything leaves.

``membership-loss/1``
    Networks are trained on the images as a receiver would. The lower their mean loss on a patient's
    patches, the more likely a training patient. The figure is the area under the ROC curve,
    training against test patients of the same diagnosis; 0.5 is chance. Yeom et al. 2018.
``nearest-patch/1``
    The largest correlation, inverted copies included, of any image with any patch of the training
    patients; 1 is a copy. Beside it the same with the patches of test patients, who had no part in
    the run.

Another attack may find what these do not; no guarantee of differential privacy follows.
"""

from gdshare.audit.record import ATTACKS, AUDIT, read_attacks, write_attacks

# ``attack`` is not imported here: it needs torch, and publishing does not.
__all__ = ["ATTACKS", "AUDIT", "read_attacks", "write_attacks"]
