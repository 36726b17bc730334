"""The aggregator's side of Flower: messages to the nodes, and the processes that carry them.

``order`` is what a round is asked to do, ``folder`` names the files it leaves. ``exchange`` sends
requests to hospitals and sorts their replies; ``counting`` has them count films. ``submit`` gives
an order to a running SuperLink through Flower's command line (``cli``). ``local_federation`` runs a
SuperLink and its SuperNodes on this machine, as ``processes``.
"""
