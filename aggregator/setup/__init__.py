"""``gdshare federation``: the aggregator's machine, set up and examined.

``place`` is where everything lies, ``write`` makes the folder, ``outside`` asks the machine what a
stranger could, and ``doctor`` examines it from within. ``commands`` has a module per command.
"""
