"""``python -m gdshare``, the same as ``gdshare``."""

from gdshare.cli.main import main

main()
