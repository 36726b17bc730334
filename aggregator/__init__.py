"""The aggregator's side of a round.

``round`` is the whole walk in one file. ``admission`` refuses or admits bundles, ``trust`` says
whose keys are good, ``flower`` reaches the hospitals, ``results`` and ``receipts`` report.
``command`` is ``gdshare aggregate``, which has a SuperLink run ``server_app``. ``demo`` is
``gdshare demo``; ``trial`` compares ways of pooling.
"""
