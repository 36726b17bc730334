"""gdshare: share what a hospital's X-rays teach without sharing the X-rays.

The walk, in the order the data takes it::

    films -> patches -> labels -> distil -> bundle -> publish | collect -> verify -> pool -> vote

Left of the bar is the hospital, right of it the aggregator. Only the bundle crosses.

``films`` reads gray-scale X-rays and makes synthetic ones; ``patches`` cuts windows from them;
``labels`` names each window I, N or P; ``cohort`` keeps labelled patches on disk, split by
patient; ``networks`` holds ResNet18 and a small ConvNet with named initialisers; ``distill`` turns
a cohort into a few soft-labelled images; ``bundle`` signs and verifies what leaves; ``vote`` and
``metrics`` classify whole films and count. ``cli`` is the ``gdshare`` command. The Flower apps are
the sibling packages ``hospital_node`` and ``aggregator``, which import this one and never each
other.
"""

__version__ = "0.1.0"
