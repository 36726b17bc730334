"""What every test may count on: torch computes on one thread, as one seed's bytes depend on it."""

import torch

torch.set_num_threads(1)
