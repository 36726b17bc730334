"""Rounds over poor links, in network namespaces of this machine, and bytes beside FedAvg.

``network`` makes the namespaces and their links, ``credentials`` the certificates and keys,
``hospitals`` films and bundles, ``federation`` the SuperLink, nginx and the nodes; ``forward_proxy`` is
a hospital's proxy, ``fedavg`` the app whose bytes are counted beside a round's, and ``measure`` puts
one round after another.
"""
