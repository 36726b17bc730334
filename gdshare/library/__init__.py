"""What ``import gdshare`` offers to programs and notebooks; docs/library.md shows how.

``images`` is the value that all of it is about, ``arrays`` distils numpy arrays, ``runs`` and
``bundles`` make it from what is on the disk, ``models`` trains on it and classifies, ``export``
writes what other tools read. ``gdshare`` itself loads these names when they are first used.
"""
