"""The hospital's side of a round: what the network may trigger here, and nothing more.

Two acts and no third: ``outbox`` sends a bundle that a person released, ``counting`` counts films
that the site listed for that purpose.

``settings`` is what the site allows; ``count_record`` records each count, so that it is given once
and only so many are given; ``tied`` trains the model that is counted, so that it is nobody's
making; ``refusal`` is how an act refuses. ``client_app`` is their Flower face.

``python -m hospital_node`` is the node (docs/adr/0030-the-node-fetches-no-app.md). ``node`` is the
loop, which speaks to the SuperLink and says what the node is doing; ``desk`` has the questions that
wait, and works on one at a time; ``outage`` waits for a SuperLink that is away, for one of the
causes in ``faults``. ``address`` has the certificates, ``keys`` reads keys, ``identity`` is who the
node is to a SuperLink, ``superlink`` speaks to it within bounds, and ``work`` limits what is
computed in a day. ``apart`` starts a process for each question, ``answer`` is that process,
``activity`` how far it is, and ``parcel`` how a message travels between the two. ``kept`` has the
bundles and models that were shown before (docs/adr/0048-a-third-kind-of-question.md).
"""
