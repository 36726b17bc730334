"""The approval page: ``gdshare approve --serve``, in a browser on the approver's own machine.

It shows what would leave, byte for byte the page that was verified, and has the digest typed. It
signs nothing: with the digest the command goes on in the terminal, where it asks for the passphrase
and makes every check again. ``server`` is the page, run by ``gdshare.local_page``, and ``static``
are its files.
"""

from gdshare.approval_page.server import Shown, serve_approval

__all__ = ["Shown", "serve_approval"]
