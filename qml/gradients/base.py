"""The contract of a gradient method: from an evaluation at some angles to derivatives by all of them.

A method is one file of `qml/gradients/`; its name there is its `diff_method`. It sees an `Evaluation` and nothing below.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from circuits.errors import LabError, UnknownName, Unsupported
from circuits.families import member, members
from circuits.program import Program

if TYPE_CHECKING:
    from qml.backends.base import Compiled
    from qml.evaluation import Evaluation

FAMILY = "qml.gradients"


class GradientMethod(ABC):
    """How derivatives are taken.

    Attributes:
        exact: an exact derivative of exact values (and unbiased for sampled ones).
        is_random: draws random numbers even without shots, if not for every program (`draws`).
        uses_vjp: calls the backend's own adjoint, which may use what the forward run kept.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = True
    is_random: ClassVar[bool] = False
    uses_vjp: ClassVar[bool] = False

    def draws(self, program: Program) -> bool:
        """Whether a gradient of this program depends on the seed even without shots."""
        return self.is_random

    def check(self, evaluation: "Evaluation") -> None:
        """Raise `Unsupported`, naming what would work, if it cannot work with this backend and these shots."""

    @abstractmethod
    def circuits(self, evaluation: "Evaluation", batch: int, needs: tuple[bool, bool]) -> int:
        """How many circuits `vjp` runs for a batch: rows of angles, each in every measurement basis; 0 where it runs none.

        Args:
            needs: whether derivatives by inputs, and by weights, are wanted.
        """

    def programs(self, evaluation: "Evaluation", needs: tuple[bool, bool]) -> int:
        """How many further programs `vjp` compiles, at the first gradient or, where they are too many to keep, at each."""
        return 0

    @abstractmethod
    def vjp(
        self,
        evaluation: "Evaluation",
        inputs: np.ndarray,
        weights: np.ndarray,
        cotangents: np.ndarray,
        seed: np.random.SeedSequence,
        kept: Any,
        needs: tuple[bool, bool],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b by inputs, (B, n), and by weights, in their shape.

        Args:
            kept: what the backend kept of the forward run at these angles, or None.
            needs: whether each of the two is wanted; the other may be zeros.
        """


class Kept(WeakKeyDictionary):
    """What a method made for each compiled circuit, for as long as that lives; a copy, by pickle too, begins empty."""

    def __reduce__(self):
        return Kept, ()

    def __deepcopy__(self, memo):
        return Kept()


def as_rows(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, n_inputs + n_weights): every angle of every sample."""
    return np.concatenate([inputs, np.broadcast_to(weights, (len(inputs), weights.shape[-1]))], axis=1)


def from_rows(gradient: np.ndarray, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives by rows in the shapes of inputs and weights: summed over samples where those share weights."""
    d_inputs, d_weights = np.split(gradient, [inputs.shape[1]], axis=1)
    return d_inputs, d_weights.sum(axis=0) if weights.ndim == 1 else d_weights


def wanted_slots(evaluation: "Evaluation", needs: tuple[bool, bool]) -> list[int]:
    """The slots that derivatives are wanted by, inputs first."""
    slots = evaluation.compiled.slots
    return [slot for group, wanted in zip((slots.inputs, slots.weights), needs) if wanted for slot in group]


def resolve(diff_method: "str | GradientMethod", compiled: "Compiled", shots: int | None) -> GradientMethod:
    """The method of that name; "best" is adjoint where there is one and values are exact, else parameter-shift.

    Where a gate has no shift rule, parameter-shift is the stochastic one.

    Raises:
        UnknownName: no such method; the message gives the nearest one.
    """
    if isinstance(diff_method, GradientMethod):
        return diff_method
    if not isinstance(diff_method, str):
        raise LabError(f"diff_method must be 'best', one of {', '.join(names())}, or a method object")
    if diff_method.replace("_", "-") not in ("best", *names()):
        raise UnknownName("diff_method", diff_method, ["best", *names()])
    if diff_method == "best":
        shift = "stochastic-parameter-shift" if compiled.program.is_evolving else "parameter-shift"
        diff_method = "adjoint" if compiled.adjoint and shots is None else shift
    return member(FAMILY, diff_method, "diff_method").METHOD()


def names() -> list[str]:
    """The names of all methods, as `diff_method` takes them."""
    return [name.replace("_", "-") for name in members(FAMILY)]


def exact_only(method: GradientMethod, evaluation: "Evaluation") -> None:
    """Raise `Unsupported` if values are estimated from shots."""
    if evaluation.shots is not None:
        raise Unsupported(
            f"diff_method {method.name!r} needs exact values, got shots={evaluation.shots}: "
            "use diff_method='parameter-shift', or shots=None"
        )
