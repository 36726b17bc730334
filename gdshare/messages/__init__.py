"""The requests an aggregator may send to a hospital, and their answers, as plain values.

This package and ``round_app`` are all that the two sides share; it knows neither Flower nor files.
A request or an answer is a flat mapping from names to numbers, text, bytes and lists of integers,
which Flower carries as one record. Its reader treats it as a stranger's.

``query.collect``
    may say which bundle the aggregator has already (``have``, the bundle's digest). Answered by the
    files of one bundle, name -> bytes, or, if it is that one, by its digest (``unchanged``); and by
    the hospital's withdrawals, ``SITE-SEQUENCE.withdrawal`` -> bytes. Either may be missing.
``evaluate.counts``
    holds the bundles to train a model from (or its weights, which few hospitals accept) and names
    the films to classify: validation films, counted at every threshold, or test films, counted at
    one. A bundle that the hospital was shown before may be named by its digest, and so may the
    model. Answered by counts of films, in which no cell holds a few, and by
    how few (``suppression``).
``query.progress``
    has no fields. Answered at once by what the hospital is computing for this aggregator.

Each may be answered by ``{"refused": reason}`` with a reason from ``Reason``: a word from a list,
never a message from the hospital's machine, which could contain a path or a name.

A model is named by how it is made, not by its weights, whose last digits differ from one processor
to another::

    asked = CountRequest("convnet", protocol, Recipe("average", 0, 5, [files, other_digest]))
    named = replace(asked, model=asked.model_digest, epsilon=0.4)
"""

from gdshare.messages.collect import CollectRequest, unchanged, unchanged_in
from gdshare.messages.counts import Counts, counts_from_fields, counts_to_fields
from gdshare.messages.doing import Doing, Progress
from gdshare.messages.recipe import Recipe, RecipeBundle, fit_one_request
from gdshare.messages.request import CountRequest
from gdshare.messages.words import (
    ANSWER_RECORD,
    COLLECT,
    COUNTS,
    MAX_BUNDLES,
    MAX_COUNT,
    MAX_RECIPE_BYTES,
    MAX_TEXT,
    MAX_WITHDRAWALS,
    NOISE,
    PROGRESS,
    REFUSED,
    REQUEST_RECORD,
    SUPPRESS_BELOW,
    UNCHANGED,
    Fields,
    Reason,
    RequestError,
    Value,
    refusal,
    refusal_in,
)

__all__ = [
    "ANSWER_RECORD",
    "COLLECT",
    "COUNTS",
    "MAX_BUNDLES",
    "MAX_COUNT",
    "MAX_RECIPE_BYTES",
    "MAX_TEXT",
    "MAX_WITHDRAWALS",
    "NOISE",
    "PROGRESS",
    "REFUSED",
    "REQUEST_RECORD",
    "SUPPRESS_BELOW",
    "UNCHANGED",
    "CollectRequest",
    "CountRequest",
    "Counts",
    "Doing",
    "Fields",
    "Progress",
    "Reason",
    "Recipe",
    "RecipeBundle",
    "RequestError",
    "Value",
    "counts_from_fields",
    "counts_to_fields",
    "fit_one_request",
    "refusal",
    "refusal_in",
    "unchanged",
    "unchanged_in",
]
