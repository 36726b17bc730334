"""What poisoned bundles do to a pooled model, and which of them are found.

Three hospitals' honest bundles are those of ``studies.quality``: the same plan and pieces, so a
folder of that benchmark may be given as ``--out``, and nothing is distilled twice. In each trial
one hospital's bundle is replaced by a poisoned one. The pooled model is judged on test patients,
and the aggregator's own checks look at the three bundles::

    OUT/fold-0/poison-SITE-ATTACK-SEED    agreement alone: its limits were chosen there
    OUT/fold-1/poison-SITE-ATTACK-SEED    everything: what is reported
    OUT/fold-1/backdoor-SITE/run          distilled from patches of which some bear a marker
"""
