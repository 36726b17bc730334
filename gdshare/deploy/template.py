"""The text of a unit, a proxy's configuration or a script, from a template of a package's."""

from collections.abc import Mapping
from importlib.resources import files
from string import Template


def fill(package: str, name: str, values: Mapping[str, str]) -> str:
    """Fill in a template; ``$$`` in it stands for ``$``.

    Args:
        package: whose folder ``templates`` holds it.
        name: the file's.
        values: each ``${name}`` of the template.

    Raises:
        KeyError: the template wants a value that is not given.
    """
    text = files(package).joinpath("templates", name).read_text(encoding="utf-8")
    return Template(text).substitute(values)
