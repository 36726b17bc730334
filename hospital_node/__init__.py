"""The hospital's side of a round: what the network may trigger here, and nothing more.

Two acts and no third (see docs/adr/0003-flower-runs-installed-code.md): ``outbox`` sends a bundle
that a person released, ``counting`` counts films that the site listed for that purpose.

``settings`` is what the site allows; ``test_counts`` records each count of test films, so that it
is given once; ``refusal`` is how an act refuses. ``client_app`` is their Flower face. ``guard`` and
``python -m hospital_node`` start a SuperNode that runs this code and no other.
"""
