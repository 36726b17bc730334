"""gdshare: share what a hospital's X-rays teach without sharing the X-rays.

The walk, in the order the data takes it::

    films -> patches -> labels -> distil -> audit -> bundle -> release
        | collect -> verify -> pool -> vote

Left of the bar is the hospital, right of it the aggregator. Only the bundle crosses it.

``films`` reads X-rays, organ outlines and DICOM files, and makes synthetic films; ``store`` keeps
imported films under random names, and ``label_page`` is where people outline organs. ``tone``
harmonises a film's gray levels, ``patches`` cuts windows, ``labels`` names each I, N or P,
``cohort`` keeps them on disk, split by patient; ``protocol`` is what all hospitals of a round must
agree on.

``distill`` turns a cohort into a few soft-labelled images (``distilled``) by a ``method``, and
``training`` on real patches is the baseline (of ``scattering`` the ``last_layer`` alone);
``private`` distils under a guarantee for each patient, with ``exact_noise``;
``networks`` and their initialisers, ``patch_tensors`` and ``seeding`` stand below both. ``audit``
attacks the images before they leave.

``bundle`` is what crosses the bar, ``signing`` the keys and statements around it; ``release`` is
how it leaves: policy, approvals, outbox, withdrawals; ``approval_page`` is where people look at it
(``local_page`` has what both pages have in common), and ``ledger`` records each act.

``pooling`` trains one ``model`` from bundles, or from the runs and bundles that ``contributions``
reads; ``vote``, ``metrics`` and ``evaluation`` classify
whole films and count, and ``proportions`` says how sure the counts are; ``messages`` are the two
requests that an aggregator may send to a hospital.

``progress`` shows how far long work has come. ``cli`` is the ``gdshare`` command, ``config`` what
it takes for options that are not typed, ``next_steps`` what waits in a site's folders, ``report``
the pages and pictures it makes. ``library`` is what this module offers to programs and notebooks
(docs/library.md). The two Flower sides are the sibling packages ``hospital_node`` and
``aggregator``, which import this one and never each other.

A name is loaded when it is first used: ``import gdshare`` alone imports nothing more.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gdshare.audit.audit_run import audit_run
    from gdshare.cohort import Cohort, open_cohort
    from gdshare.errors import GdshareError
    from gdshare.films import Film, read_film
    from gdshare.library.arrays import distil
    from gdshare.library.bundles import load_bundle
    from gdshare.library.export import export_tensors
    from gdshare.library.images import DistilledImages
    from gdshare.library.models import classify, load_model, predict, save_model, train
    from gdshare.library.runs import distil_cohort, load_images
    from gdshare.method import Settings
    from gdshare.model import Model
    from gdshare.protocol import Protocol

__version__ = "0.1.0"
__all__ = [
    "Cohort",
    "DistilledImages",
    "Film",
    "GdshareError",
    "Model",
    "Protocol",
    "Settings",
    "audit_run",
    "classify",
    "distil",
    "distil_cohort",
    "export_tensors",
    "load_bundle",
    "load_images",
    "load_model",
    "open_cohort",
    "predict",
    "read_film",
    "save_model",
    "train",
]

_MODULES = {
    "Cohort": "cohort",
    "DistilledImages": "library.images",
    "Film": "films",
    "GdshareError": "errors",
    "Model": "model",
    "Protocol": "protocol",
    "Settings": "method",
    "audit_run": "audit.audit_run",
    "classify": "library.models",
    "distil": "library.arrays",
    "distil_cohort": "library.runs",
    "export_tensors": "library.export",
    "load_bundle": "library.bundles",
    "load_images": "library.runs",
    "load_model": "library.models",
    "open_cohort": "cohort",
    "predict": "library.models",
    "read_film": "films",
    "save_model": "library.models",
    "train": "library.models",
}
"""Name -> the module that it is loaded from (PEP 562)."""


if not TYPE_CHECKING:  # a checker would take any name for one of these

    def __getattr__(name: str) -> object:
        """Load a public name.

        Raises:
            AttributeError: there is no such name.
            MissingExtraError: an extra is not installed.
        """
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            module = import_module(f"{__name__}.{_MODULES[name]}")
        except ModuleNotFoundError as error:
            from gdshare.extras import extra_missing  # noqa: PLC0415

            missing = extra_missing(error.name)
            raise missing or error from error
        value = globals()[name] = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        """The names that can be loaded, too."""
        return sorted({*globals(), *__all__})
