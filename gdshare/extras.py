"""The extras of the package: what each brings, and the refusal where it is missing.

``pip install gdshare`` installs the core, enough to make keys, to approve and release what was
prepared, and to verify. Everything else comes by an extra, such as ``gdshare[distill]``;
pyproject.toml lists their requirements.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import chain

from gdshare.errors import UsageError

MODULES = {
    "films": ("defusedxml", "scipy"),
    "page": ("h11", "starlette", "uvicorn"),
    "dicom": ("gdcm", "highdicom", "onnxruntime", "pydicom"),
    "pacs": ("dicomweb_client", "requests", "urllib3"),
    "distill": ("jinja2", "markupsafe", "matplotlib", "torch", "torchvision"),
    "federation": ("flwr",),
    "privacy": ("dp_accounting",),
}
"""Extra -> the modules that it adds."""
INCLUDES: Mapping[str, tuple[str, ...]] = {
    "dicom": ("films", "page"),
    "pacs": ("dicom",),
    "distill": ("films",),
    "federation": ("distill",),
    "privacy": ("distill",),
}
"""Extra -> the extras on which it builds."""


class MissingExtraError(UsageError):
    """A command whose extra is not installed."""


def require_extra(extra: str) -> None:
    """Check, without importing any of it, that all of an extra is installed.

    Raises:
        MissingExtraError: naming what is missing, and how to install it.
    """
    absent = sorted(module for module in _modules(extra) if find_spec(module) is None)
    if absent:
        raise _missing(absent, extra)


def extra_missing(module: str | None) -> MissingExtraError | None:
    """The refusal for a failed import, or None where no extra brings that module.

    Args:
        module: dotted, as in ``ModuleNotFoundError.name``.
    """
    top = (module or "").partition(".")[0]
    extras = [extra for extra, modules in MODULES.items() if top in modules]
    return _missing([top], extras[0]) if extras else None


def _modules(extra: str) -> list[str]:
    below = (_modules(name) for name in INCLUDES.get(extra, ()))
    return [*MODULES[extra], *chain.from_iterable(below)]


def _missing(modules: list[str], extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"this needs {', '.join(modules)}, not installed here",
        remedy=f"pip install 'gdshare[{extra}]'",
    )
