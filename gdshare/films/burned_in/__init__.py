"""Where writing seems to be burned into a film's pixels: names, dates, numbers, side markers.

What is found is a reason to look. Nothing found is no reason to pass a film on: the detector
misses some lines (``python -m benchmarks.burned_in`` counts them), and never clears a film.

``network`` runs the text detector on a piece of a film, ``find`` goes over whole films with it.
Importing this loads onnxruntime, so only those who look for text do.
"""

from gdshare.films.burned_in.find import find_text
from gdshare.films.burned_in.network import TextDetectorError

__all__ = ["TextDetectorError", "find_text"]
