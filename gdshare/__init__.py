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
the pages and pictures it makes. The two Flower sides are the sibling packages ``hospital_node`` and
``aggregator``, which import this one and never each other.
"""

__version__ = "0.1.0"
