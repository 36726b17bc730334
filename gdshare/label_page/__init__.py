"""The outlining page: ``gdshare label --serve STORE``, in a browser on the same machine.

``grid`` applies the rule of the command line to an outline, ``pictures`` hands out a film's
pixels, ``server`` answers what the page asks, ``door`` lets in the one browser that was given the
address and ``serve`` runs it all; ``static`` is the page itself. Nothing is fetched from elsewhere.
"""

from gdshare.label_page.serve import serve

__all__ = ["serve"]
