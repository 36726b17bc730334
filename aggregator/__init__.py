"""The aggregator's side of a round: collect, verify, pool and train, have films counted, report.

``order`` is what a round is asked to do; ``exchange`` puts questions to hospitals and sorts their
answers; ``trust`` and ``admission`` decide whose bundle is believed; ``plausibility`` whether its
content is, by what it teaches (``teaching``) and how it lies among its peers (``agreement``);
``judging`` brings both to bear, ``counting`` has films counted, ``round`` is the
sequence; ``results`` the table. ``server_app`` is the Flower face of that.

``submit`` gives an order to a running SuperLink, ``command`` is ``gdshare aggregate``, and
``local_federation`` runs a SuperLink and its SuperNodes on this machine.
"""
