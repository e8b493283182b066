"""A state vector written out in JAX as an expert would, jitted, the batch by vmap, backpropagation."""

import numpy as np

from studies.peers.base import Workload

REQUIRES = ("jax",)
DTYPES = ("float32", "float64")


def build(workload: Workload):
    """`jax.value_and_grad` of the whole batch, compiled once."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", workload.dtype == "float64")
    kind = jnp.complex128 if workload.dtype == "float64" else jnp.complex64
    pauli = {"X": jnp.array([[0, 1], [1, 0]], kind), "Y": jnp.array([[0, -1j], [1j, 0]], kind)}

    def on_one(state, matrix, qubit):
        return jnp.moveaxis(jnp.tensordot(matrix, state, axes=[[1], [qubit]]), 0, qubit)

    def rotation(name, angle):
        c, s = jnp.cos(angle / 2), jnp.sin(angle / 2)
        if name == "rx":
            return jnp.array([[c, -1j * s], [-1j * s, c]])
        if name == "ry":
            return jnp.array([[c, -s], [s, c]]).astype(kind)
        return jnp.array([[jnp.exp(-0.5j * angle), 0], [0, jnp.exp(0.5j * angle)]])

    def controlled(state, control, target, change):
        front = jnp.moveaxis(state, (control, target), (0, 1))
        return jnp.moveaxis(jnp.stack([front[0], change(front[1])]), (0, 1), (control, target))

    def apply(state, gate, angle):
        if gate.name == "cx":
            return controlled(state, *gate.qubits, lambda half: half[::-1])
        if gate.name == "crx":
            return controlled(state, *gate.qubits, lambda half: jnp.tensordot(rotation("rx", angle), half, axes=1))
        if gate.name in ("rxx", "ryy"):
            letter = pauli[gate.name[1].upper()]
            flipped = on_one(on_one(state, letter, gate.qubits[0]), letter, gate.qubits[1])
            return jnp.cos(angle / 2) * state - 1j * jnp.sin(angle / 2) * flipped
        return on_one(state, rotation(gate.name, angle), gate.qubits[0])

    def expectation(state, letters, qubits):
        if letters == "Z":
            chances = jnp.sum(jnp.abs(state) ** 2, axis=tuple(q for q in range(workload.n_qubits) if q != qubits[0]))
            return chances[0] - chances[1]
        flipped = state
        for letter, qubit in zip(letters, qubits):
            flipped = on_one(flipped, pauli[letter], qubit)
        return jnp.real(jnp.vdot(state, flipped))

    def circuit(x, w):
        state = jnp.zeros((2,) * workload.n_qubits, kind).at[(0,) * workload.n_qubits].set(1)
        for gate in workload.gates:
            angle = {"x": x, "w": w}[gate.source][gate.place] if gate.source else None
            state = apply(state, gate, angle)
        return jnp.stack([sum(expectation(state, *term) for term in terms) for terms in workload.observables])

    return jax_step(workload, circuit)


def jax_step(workload: Workload, circuit, on_device: bool = False):
    """Forward and backward of a function (n,), (P,) -> (K,), over the batch, jitted.

    Args:
        on_device: results stay on the device, where numbers are put once; else they are given as NumPy arrays.
    """
    import jax
    import jax.numpy as jnp

    over_batch = jax.vmap(circuit, in_axes=(0, 0 if workload.per_sample else None))

    def loss(x, w, cotangents):
        values = over_batch(x, w)
        return jnp.sum(values * cotangents), values

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

    numbers = jax.device_put(workload.numbers)

    def step():
        (_, values), (of_inputs, of_weights) = gradient(*numbers)
        if on_device:
            return jax.block_until_ready((values, of_inputs, of_weights))
        return np.asarray(values), np.asarray(of_inputs), np.asarray(of_weights)

    return step
