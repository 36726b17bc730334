"""Are the defaults of ``gdshare distill`` the best? Each other value, tried by itself.

    python -m studies.options [--quick] [--json FILE] [--data ../shared/data] [--out DIR]

One hospital's patches are distilled as ``gdshare distill`` does it when told nothing, and then told
one thing, for equal CPU-seconds: a variant whose training step costs twice as much takes half as
many. Judged on training and validation patients; no test patient is looked at.
"""
