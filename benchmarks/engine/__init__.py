"""The distillation engine against its rivals: speed, memory, and time to quality.

``python -m benchmarks.engine`` prints the table. The rivals, each doing equal work (one shared set
of M images, E·I inner steps, one minibatch of K real patches):

- ``ssnl``: Wang et al.'s own code (github.com/ssnl/dataset-distillation, commit 98e4894), run
  unmodified from a checkout that the caller names; none of it lives here.
- ``recipe``: the same method written anew from its description, for machines without a checkout.
- ``graph``: nothing but one autograd graph through all steps, as a reader of the formula would.
- ``ours``: what ``gdshare distill`` runs.
"""
