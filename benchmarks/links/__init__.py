"""Rounds over poor links, in network namespaces of this machine, and bytes beside FedAvg.

``network`` makes namespaces and links, ``credentials`` certificates and keys, ``hospitals``
films and bundles. ``federation`` runs SuperLink, nginx and nodes. ``forward_proxy`` is a hospital's
proxy. ``fedavg`` runs ``fedavg_app``, whose bytes are counted beside a round's. ``measure`` holds
a round over one of the links.
"""
