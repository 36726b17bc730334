"""``gdshare node init``, ``certificate`` and ``doctor``: a hospital's node, set up and examined.

``place`` is where everything lies, ``write`` makes the folder, ``doctor`` examines it as the user
sees it who runs the node, and ``command`` is what people type.
"""
