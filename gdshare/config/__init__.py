"""``gdshare.toml``: what the commands of a hospital, or of a round, take for options not typed.

``keys`` is the list of what may stand there, ``file`` finds the file and reads it, ``owner`` says
whose file is believed, and ``template`` writes a new one. ``gdshare.cli.defaults`` gives the values
to the commands.

Example::

    config = read_config(environment={}, folder=Path("/srv/gdshare"))
    print(config.path, config.values.get("outbox"))
"""

from gdshare.config.file import CONFIG_VARIABLE, Config, read_config
from gdshare.config.keys import KEYS, Key, Value, variable

__all__ = ["CONFIG_VARIABLE", "KEYS", "Config", "Key", "Value", "read_config", "variable"]
