"""The hospital's side of a round: what the network may trigger here, and nothing more.

Two acts and no third (see docs/adr/0003-flower-runs-installed-code.md): handing over a bundle that
a person put into the outbox, and counting votes on films the site listed for that purpose.

``settings`` says what the site allows; ``outbox`` and ``counting`` are the two acts; ``ledger``
remembers which test counts were given; ``client_app`` is their Flower face; ``guard`` and
``python -m hospital_node`` start a SuperNode that runs this code and no other.
"""
