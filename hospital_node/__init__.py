"""The hospital's side of a round: what the network may trigger here, and nothing more.

Two acts and no third: ``outbox`` sends a bundle that a person released, ``counting`` counts films
that the site listed for that purpose.

``settings`` is what the site allows; ``count_record`` records each count, so that it is given once
and only so many are given; ``tied`` trains the model that is counted, so that it is nobody's
making; ``refusal`` is how an act refuses. ``client_app`` is their Flower face.

``python -m hospital_node`` is the node (docs/adr/0030-the-node-fetches-no-app.md). ``address`` has
key and certificates, ``superlink`` speaks to the SuperLink within bounds, ``node`` is the loop, and
``work`` limits what is computed in a day. ``apart`` starts a process for each question, ``answer``
is that process, and ``parcel`` is how a message travels between the two.
"""
