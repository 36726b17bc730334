"""The ``gdshare`` command: one thin module a command, each with ``register(app)``."""
