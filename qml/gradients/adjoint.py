"""Adjoint: one backward sweep through a simulated circuit gives all derivatives, whatever their number."""

from circuits.errors import Unsupported
from qml.gradients.base import GradientMethod, exact_only


class Adjoint(GradientMethod):
    """The backend's own backward sweep; simulators only, exact values only.

    Cost: about two further forward runs, for any number of angles.
    Source: Jones and Gacon, arXiv:2009.02823.
    """

    name = "adjoint"
    uses_vjp = True

    def check(self, evaluation):
        exact_only(self, evaluation)
        backend = evaluation.compiled.backend
        if backend.adjoint and not evaluation.compiled.adjoint:
            raise Unsupported(
                f"backend {backend.name!r} has no adjoint gradient of an evolution by a sum that does not commute: use "
                "diff_method='stochastic-parameter-shift' or 'backprop', or backend 'native'"
            )
        if not backend.adjoint:
            raise Unsupported(
                f"backend {backend.name!r} has no adjoint gradient: use diff_method='parameter-shift', "
                "or backend 'native' or 'aer'"
            )

    def circuits(self, evaluation, batch, needs):
        return 0  # no device could run the sweep: it reads the state that a measurement would destroy

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        return evaluation.compiled.vjp(inputs, weights, cotangents, kept)


METHOD = Adjoint
