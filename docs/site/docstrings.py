"""Docstrings as the site shows them: ``::`` introduces a block of code, as in reStructuredText."""

import re

from griffe import Extension, Module, Object

INTRODUCES = re.compile(r"(\S)?::$", re.MULTILINE)


class Introductions(Extension):
    """Writes ``takes it::`` as ``takes it:``, and drops a line of nothing but the two colons."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Change the docstring of a module, class, function or attribute."""
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = INTRODUCES.sub(lambda m: f"{m[1]}:" if m[1] else "", text)

    def on_package(self, *, pkg: Module, **_: object) -> None:
        """The same for the outermost package, which ``on_object`` is not called for."""
        self.on_object(obj=pkg)
