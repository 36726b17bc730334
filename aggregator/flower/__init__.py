"""The aggregator's side of Flower: messages to the nodes, and the processes that carry them.

``order`` is what a round is asked to do, ``folder`` where it leaves its files; ``exchange`` sends
messages to hospitals and sorts their replies, ``counting`` has films counted. ``submit`` gives an
order to a running SuperLink by Flower's command line (``cli``); ``local_federation`` runs a
SuperLink and its SuperNodes on this machine, as ``processes``.
"""
