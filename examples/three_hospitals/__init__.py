"""Three hospitals, an aggregator and a stranger: a federation from nothing, on one Linux machine.

``python -m examples.three_hospitals --out DIR``, as root. Every machine of the story is a set of
Linux namespaces: a network, users, processes and an ``/etc``, ``/srv`` and ``/var`` of its own, so
the commands are those of the guides, with their paths and ports. Nothing outside DIR changes, and
nothing keeps running. systemd does not run in there: the walk starts what the units say, as the
users they name, and does not show what systemd adds (restarts, its sandbox).
"""
