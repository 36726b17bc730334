"""The aggregator's side: collect, verify, pool and train, have films counted, report.

``command`` is ``gdshare aggregate``: it gives an order to a SuperLink (``flower.submit``), where
``server_app`` holds the ``round``: collect from every node (``flower.exchange``), split and verify
(``admission``, against the keys and the history of ``trust``), pool and train, have the hospitals
count (``flower.counting``), write the table (``results``) and sign ``receipts``. Why something is
refused has its name in ``refusals``. ``demo`` is ``gdshare demo``; ``trial`` compares poolings.
"""
