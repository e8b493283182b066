"""TensorCircuit-NG on its JAX backend, jitted, the batch by vmap, backpropagation."""

from studies.peers.base import Workload
from studies.peers.jax_handwritten import jax_step

REQUIRES = ("tensorcircuit", "jax")
DTYPES = ("float32", "float64")


def build(workload: Workload, on_device: bool = False):
    """`tensorcircuit.Circuit` under `jax.jit`; on_device as `jax_step` has it."""
    import jax
    import jax.numpy as jnp
    import tensorcircuit as tc

    jax.config.update("jax_enable_x64", workload.dtype == "float64")
    tc.set_backend("jax")
    tc.set_dtype("complex128" if workload.dtype == "float64" else "complex64")

    def circuit(x, w):
        built = tc.Circuit(workload.n_qubits)
        for gate in workload.gates:
            angle = {"theta": {"x": x, "w": w}[gate.source][gate.place]} if gate.source else {}
            getattr(built, gate.name)(*gate.qubits, **angle)

        def value(letters, qubits):
            where = {letter.lower(): [q for one, q in zip(letters, qubits) if one == letter] for letter in set(letters)}
            return jnp.real(built.expectation_ps(**where))

        return jnp.stack([sum(value(*term) for term in terms) for terms in workload.observables])

    return jax_step(workload, circuit, on_device)
