"""The aggregator's side of a round.

``setup`` makes an aggregator's machine, ``nodes`` says whose node is whose. ``round`` is the whole
walk in one file, ``collecting`` its first step, and ``record`` what it goes on from after a kill.
``admission`` refuses or admits bundles, ``trust`` says whose keys are good, ``flower`` reaches the
hospitals, ``results`` and ``receipts`` report. ``aggregate_command`` is ``gdshare aggregate``,
which has a SuperLink run ``server_app``; ``status_command`` and ``receipts_command`` read a round's
folder. ``demo`` is ``gdshare demo``; ``trial`` compares ways of pooling.
"""
