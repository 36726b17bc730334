"""Wang et al.'s own code, run unmodified from a checkout of github.com/ssnl/dataset-distillation.

Theirs: the inner loop forward, the walk back, the gradients' summing, labels and rates, Adam and
its schedule. Ours: the network, θ0 and the images' start (so that all rivals have the same), and
the loop over training steps, since theirs also saves pictures, evaluates and logs. That loop does
two things as in the torch of 2018: it sets gradients to zero rather than to None, which their
summing needs, and it does not advance the schedule before the first pass over the data.

Their top-level packages are called ``utils``, ``networks`` and ``datasets``: nothing else of those
names can be imported in the same process. The last, which downloads MNIST and the like, is replaced
by an empty module; so is matplotlib, which draws pictures that nothing here asks for. They need six
and tqdm too, which the tools for development bring along.
"""

import hashlib
import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.engine.recipe import RECIPE, Learner, flat
from benchmarks.engine.tasks import MetaGradient, Problem
from gdshare.errors import UsageError
from gdshare.networks import Parameters

COMMIT = "98e4894"
SHA256 = "5e42ed69c4e44ebde42ea1c7ca7b5cefa9e35616ceff295ecb14514a8cea674f"
"""``digest`` of that commit."""
CHECKOUT_VARIABLE = "GDSHARE_SSNL"
"""Environment variable that names the checkout without an option."""
TRAINER = "train_distilled_image.py"
IMPORTED = ("*.py", "networks/*.py", "utils/*.py")
UNUSED: dict[str, dict[str, object]] = {
    "datasets": {},
    "matplotlib": {"use": lambda backend: None},
    "matplotlib.pyplot": {},
}
"""Module -> what they read of it while they are imported."""


def digest(checkout: Path | None) -> str:
    """SHA-256 of what is imported from a checkout."""
    path = _required(checkout)
    sha = hashlib.sha256()
    for file in sorted(file for pattern in IMPORTED for file in path.glob(pattern)):
        sha.update(f"{file.relative_to(path).as_posix()}\n".encode())
        sha.update(hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()


def _required(checkout: Path | None) -> Path:
    """Refuse to run their code without it."""
    if checkout is None:
        remedy = f"give it by --ssnl PATH or in {CHECKOUT_VARIABLE}"
        raise UsageError("runs Wang et al.'s own code, so it needs a checkout", "ssnl", remedy)
    if not (checkout / TRAINER).is_file():
        what = f"no checkout of ssnl/dataset-distillation (no {TRAINER})"
        remedy = f"git clone https://github.com/ssnl/dataset-distillation, check out {COMMIT}"
        raise UsageError(what, checkout, remedy)
    return checkout


class Ssnl(Learner):
    """Their trainer, driven one training step at a time. See ``tasks.Engine``."""

    def __init__(self, problem: Problem, checkout: Path | None) -> None:
        path = str(_required(checkout))
        for name, content in UNUSED.items():
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__spec__ = ModuleSpec(name, None)  # torch looks for some packages
            vars(sys.modules[name]).update(content)
        if path not in sys.path:
            sys.path.insert(0, path)
        trainer = importlib.import_module("train_distilled_image").Trainer
        base = importlib.import_module("networks").utils.ReparamModule
        self._options = _options(problem)
        self._model = _adapted(problem, base, self._options, lambda: problem.theta0(self.done))
        self._trainer = trainer(self._options, [self._model])
        images, rates = self._trainer.params
        super().__init__(problem, images, rates, self._trainer.optimizer)
        if problem.classes == 2:
            # With two classes they take one logit and binary cross entropy; our networks have a
            # logit a class. After the labels are made they read this number only for that.
            self._options.num_classes = 0
        with torch.no_grad():
            self._trainer.data[0].copy_(problem.start_images())

    def gradient(self) -> MetaGradient:
        loss = self._accumulate()
        images, rates = (leaf.grad.clone() for leaf in self._trainer.params)
        return MetaGradient(loss, images, rates.flatten())

    def outer_step(self) -> float:
        if self.done and self.done % self._problem.steps_per_epoch == 0:
            with warnings.catch_warnings():
                # Right after a restore it warns that the optimiser has taken no step.
                warnings.simplefilter("ignore")
                self._trainer.scheduler.step()
        loss = self._accumulate()
        self._adam.step()
        self.done += 1
        return loss

    def _accumulate(self) -> float:
        """From θ0 to the gradients, with their methods, in the order of their loop."""
        trainer = self._trainer
        self._adam.zero_grad(set_to_none=False)
        real_x, real_y = self._problem.minibatch(self.done)
        steps = trainer.get_steps()
        self._model.reset(self._options)
        loss, saved = trainer.forward(self._model, real_x, real_y, steps)
        gradients = trainer.backward(self._model, real_x, real_y, steps, saved)
        del saved
        trainer.accumulate_grad([gradients])
        return float(loss.item())

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        # The pass of the last step done: the schedule advances before the next.
        epoch = max(self.done - 1, 0) // self._problem.steps_per_epoch
        self._trainer.scheduler.last_epoch = epoch
        self._adam.param_groups[0]["lr"] = RECIPE.outer_rate_at(epoch)


def _options(problem: Problem) -> SimpleNamespace:
    """What their trainer reads, at their defaults but for the one shared set of images."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        distributed=False,
        mode="distill_basic",
        num_classes=problem.classes,
        nc=1,
        input_size=problem.side,
        distilled_images_per_class_per_step=1,
        distill_steps=1,
        distill_epochs=problem.steps,
        distill_lr=RECIPE.inner_rate,
        lr=RECIPE.outer_rate,
        decay_epochs=RECIPE.decay_every,
        decay_factor=RECIPE.decay,
    )


def _adapted(
    problem: Problem, base: type[Any], options: SimpleNamespace, draw: Callable[[], Parameters]
) -> Any:
    """Our network inside their base class, which keeps all weights in one flat parameter."""

    class Adapted(base):  # type: ignore[misc]
        def __init__(self, state: SimpleNamespace) -> None:
            super().__init__()
            # A copy: their base class takes a network's parameters away from it.
            self.network: nn.Module = deepcopy(problem.module).to_empty(device="cpu")

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.network(x)
            return logits

        def reset(self, state: SimpleNamespace, inplace: bool = True) -> Tensor:
            """Draw θ0; ``draw`` gives the weights in the order their flat vector has them."""
            weights: Tensor = self.flat_w if inplace else torch.empty_like(self.flat_w)
            with torch.no_grad():
                weights.copy_(flat(draw()))
            return weights.requires_grad_()

    return Adapted(options)
