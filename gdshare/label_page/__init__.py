"""The outlining page: ``gdshare label --serve STORE``, in a browser on the same machine.

``server`` is the HTTP API, ``grid`` labels the windows by the same rule as the command line,
``pictures`` prepares a film's pixels, and ``serve`` runs it all, with ``gdshare.local_page``;
``static`` is the page itself. Nothing is loaded from elsewhere.
"""

from gdshare.label_page.serve import serve

__all__ = ["serve"]
