"""Finding text burned into a film's pixels: names, dates, numbers, side markers.

A detection is a reason to look at the film. No detection does not clear it: the detector misses
some lines of text (``python -m benchmarks.burned_in`` counts them).

``network`` runs the text detector on a tile of a film, ``find`` covers the film with tiles.
Importing this package loads onnxruntime, so import it only where text is to be detected.
"""

from gdshare.films.burned_in.find import find_text
from gdshare.films.burned_in.network import TextDetectorError

__all__ = ["TextDetectorError", "find_text"]
