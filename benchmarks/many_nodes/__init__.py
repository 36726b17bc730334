"""A round of many real nodes on one machine, whose answering processes take turns.

``node`` is ``hospital_node`` that waits for its turn before it computes; ``turns`` hands the turns
out. ``warm`` forks answering processes that have loaded torch already, for ``warm_client``, which
nodes start in their place. ``watch`` adds up memory and processor time by kind of process, and
``__main__`` holds the round.
"""
