"""How much of the text burned into films ``gdshare.films.burned_in`` finds, and what it makes up.

``python -m benchmarks.burned_in`` writes generated names, dates and numbers on films, 8 to 40 px
high, faint to clear, light and dark, level and turned, and counts the lines found. On the same
films before anything was written it counts boxes where surely no text is.

Everything about the detector was chosen on films of montgomery and of phantom hospital 0
(``--on chosen`` shows those), and on the real films in DICOM; what is reported is of the two
hospitals of Shenzhen and of phantom hospital 1.
"""
