"""Random ``kill -9`` in a federation of real processes, whose rounds close all the same.

``scene`` is the federation, with what restarts its processes; ``tally`` counts what went wrong.
"""
