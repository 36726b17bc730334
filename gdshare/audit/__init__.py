"""Attacks on distilled images, made where the films lie, before anything leaves.

``membership-loss/1``
    Networks are trained from the images as a receiver would. Their mean loss on a patient's patches
    is the guess: the lower, the rather a training patient. The figure is the area under the ROC
    curve, training patients against test patients of the same diagnosis; 0.5 is guessing. Yeom et
    al. 2018.
``nearest-patch/1``
    The largest correlation, inverted copies included, of any image with any patch of the training
    patients; 1 is a copy. Beside it the same with the patches of test patients, who played no part.

What an attack does not find, another might; no guarantee of differential privacy follows.
"""

from gdshare.audit.record import ATTACKS, AUDIT, read_attacks, write_attacks

# ``attack`` itself is imported where it is needed: it takes torch, and whoever publishes does not.
__all__ = ["ATTACKS", "AUDIT", "read_attacks", "write_attacks"]
