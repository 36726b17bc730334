"""Research on the method: ``python -m studies NAME``. Speed and recall of the product: benchmarks.

Every study declares its cells and a report; ``studies.runner`` does the rest.
"""
