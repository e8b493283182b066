"""Qiskit Aer, on the CPU or with device="GPU": exact with adjoint gradients, shots, noise, all its methods."""

from functools import cached_property
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, generate_preset_pass_manager

from circuits.errors import LabError, TooLarge, UnknownName, Unsupported
from circuits.measurements import READS_NOTHING, without_idle_bits, without_lookalikes
from circuits.observables import as_list
from qml import costs
from qml.backends.base import Backend, Compiled, Slots, by_outcome, check_bound, check_memory, check_shots

METHODS = ("automatic", "statevector", "density_matrix", "stabilizer", "matrix_product_state", "extended_stabilizer")
MOST_CHECKED = {"automatic": 28, "statevector": 28, "density_matrix": 13}  # qubits Aer allows on any machine of today
MOST_ROWS = 4096  # angle rows per run
SMALL_GPU_BYTES = 4 << 30
# Below this many qubits Aer's threads wait for each other longer than they work, above all on a busy machine.
SMALL_STATES_ON_ONE_THREAD = {"statevector_parallel_threshold": 16}


class AerBackend(Backend):
    """Runs on `qiskit_aer.AerSimulator`.

    Args:
        device: "CPU" or "GPU"; a GPU is believed only after a one-qubit run on it.
        method: one of METHODS, for submitted circuits; layers need state vectors.
        noise: a `qiskit_aer.noise.NoiseModel`; or a Qiskit backend, whose noise, gates and coupling are taken. Values from
            shots then, or exact with method="density_matrix".
        simulator: an `AerSimulator` whose options are kept.
        options: any further option of `AerSimulator`, such as precision="single", `max_parallel_threads`,
            `cuStateVec_enable`, or one large state over several GPUs or (where Aer was built with MPI) nodes by
            `blocking_enable=True, blocking_qubits=...`.
    """

    name = "aer"
    requires = ("qiskit_aer", "pip install 'hybrid-qml-lab[aer]', or [aer-gpu] for an NVIDIA GPU")
    adjoint = True
    summary = "Qiskit Aer, every method, on the CPU or an NVIDIA GPU; noise models"

    def __init__(self, device: str = "CPU", method: str = "automatic", noise=None, simulator=None, **options):
        if device not in ("CPU", "GPU"):
            raise UnknownName("device of backend 'aer'", device, ["CPU", "GPU"])
        if method not in METHODS:
            raise UnknownName("method of backend 'aer'", method, METHODS)
        if "noise_model" in options:
            raise LabError("write noise=model in place of noise_model=model: it acts on gates as they are written")
        if noise is not None and not hasattr(noise, "noise_instructions") and not hasattr(noise, "target"):
            raise LabError(f"noise must be a qiskit_aer.noise.NoiseModel or a Qiskit backend, got {type(noise).__name__}")
        self.device, self.method, self.noise, self._given = device, method, noise, simulator
        self._options = options
        if simulator is not None:
            if noise is not None or options or (device, method) != ("CPU", "automatic"):
                raise LabError(
                    "an AerSimulator keeps its own options: give it noise_model, method, device and others itself, or write "
                    "backend='aer' with them"
                )
            self.noise = simulator.options.get("noise_model")
            self.device = str(simulator.options.get("device") or device)
            self.method = str(simulator.options.get("method") or method)
        self._check_options()
        if self.device == "GPU":
            self._probe_gpu()

    def _check_options(self) -> None:
        from qiskit_aer.aererror import AerError

        if self._options.get("precision", "double") not in ("single", "double"):
            raise LabError(f"precision of backend 'aer' is 'single' or 'double', got {self._options['precision']!r}")
        try:
            self._simulator()
        except (AerError, TypeError, ValueError) as error:
            said = " ".join(str(error).strip("'\"").split())
            raise LabError(f"Aer does not take these options ({said[:200]}): see qiskit_aer.AerSimulator's") from None

    def _probe_gpu(self) -> None:
        """Aer lists GPUs that are not there, so only a run on one is proof."""
        try:
            circuit = QuantumCircuit(1)
            circuit.measure_all()
            result = self.run(circuit, np.dtype(np.float64), shots=1).results[0]
            if result.metadata.get("device") != "GPU":
                raise LabError(f"a run came back from the {result.metadata.get('device')}")
        except Exception as error:
            raise LabError(
                f"Aer does not run on a GPU here ({' '.join(str(error).split())[:160]}): use device='CPU', or install "
                "'hybrid-qml-lab[aer-gpu]' in place of [aer] on a machine with an NVIDIA GPU; `qml doctor` says more"
            ) from None

    def option(self, name: str) -> Any:
        """What the simulator is told beside its device, or None."""
        return self._options.get(name) if self._given is None else self._given.options.get(name)

    def batching(self) -> dict[str, bool]:
        """Options by which rows of angles are run together: on one GPU as one batch.

        Over several GPUs Aer gives wrong values for bound rows in a batch (qiskit-aer#2244); cuStateVec takes no batches.
        """
        plain = self.device == "CPU" or self.option("cuStateVec_enable") or self._n_gpus() > 1
        return {} if plain else {"batched_shots_gpu": True}

    def _n_gpus(self) -> int:
        import torch

        targets = self.option("target_gpus")
        return len(targets) if targets else max(1, torch.cuda.device_count())

    def rows_at_once(self, n_qubits: int, dtype: np.dtype) -> int:
        """Rows of angles in one run; on a GPU no more than fit a quarter of its memory."""
        if self.device == "CPU":
            return MOST_ROWS
        return max(1, min(MOST_ROWS, self._gpu_bytes() // 4 // (2 * np.dtype(dtype).itemsize << n_qubits)))

    def _gpu_bytes(self) -> int:
        """Of one GPU, as torch knows it, or else of a small one: Aer itself does not tell."""
        import torch

        if not torch.cuda.is_available():
            return SMALL_GPU_BYTES
        return torch.cuda.get_device_properties((self.option("target_gpus") or [0])[0]).total_memory

    def _simulator(self):
        from qiskit_aer import AerSimulator

        if self._given is not None:
            return self._given
        options = {"device": self.device, **SMALL_STATES_ON_ONE_THREAD, **self._options}
        if self.method != "automatic":
            options["method"] = self.method
        if hasattr(self.noise, "target"):
            return AerSimulator.from_backend(self.noise, **options)
        return AerSimulator(**options, **({} if self.noise is None else {"noise_model": self.noise}))

    @cached_property
    def _written(self):
        """Aer for circuits as they were written, and what rewrites them in gates it has.

        Made once: Aer builds its list of gates anew, 150 times a circuit, whenever `transpile` looks at it.
        """
        simulator = self._simulator()
        # From its target and not from itself, for the same reason; routing to a device's coupling draws from a fixed seed.
        return simulator, generate_preset_pass_manager(0, target=simulator.target, seed_transpiler=0)

    def prepare(self) -> None:
        _ = self._written

    def run(self, circuits, dtype: np.dtype, **options):
        """Aer's result of circuits of native instructions, simulated in the precision of `dtype`.

        Raises:
            LabError: Aer did not complete, with its reason.
        """
        precision = "single" if dtype == np.float32 else "double"
        simulator = self._simulator()
        return _completed(simulator.run(circuits, precision=precision, method="statevector", **options).result())

    def refuse_noise(self, what: str) -> None:
        """Raise `Unsupported` where a noise model is set: noise acts on the gates as written, and lowering rewrites them."""
        if self.noise is not None:
            raise Unsupported(
                f"{what} cannot have noise: sample the bound circuit, with qml.submit or backend.estimate and shots"
            )

    def compile(self, program, observables, slots=None) -> Compiled:
        from qml.aer.compiled import AerCircuit

        self.refuse_noise("a layer")
        if self.method not in ("automatic", "statevector"):
            raise Unsupported(
                f"a layer on Aer needs state vectors, got method={self.method!r}: leave method out, or submit bound circuits"
            )
        if program.n_qubits > 40:
            check_memory(16 << program.n_qubits, f"simulating {program.n_qubits} qubits on Aer")
        return AerCircuit(self, program, observables, slots or Slots((), tuple(range(len(program.slots)))))

    def estimate(self, circuit: QuantumCircuit, observables, shots: int | None = None, seed: int | None = None):
        """As every backend's; with noise or another method than state vectors, of the circuit as it was written."""
        if self.noise is None and self.method in ("automatic", "statevector"):
            return super().estimate(circuit, observables, shots, seed)
        if shots is None and self.method != "density_matrix":
            self.refuse_noise("an exact expectation value without method='density_matrix'")
        circuit = without_idle_bits(circuit)
        if circuit.num_clbits:
            raise Unsupported("expectation values need a circuit without classical bits: remove its measurements first")
        from qml.aer import written

        operators = as_list(observables, circuit.num_qubits)
        if shots is None:
            return written.exact(self, circuit, operators)
        check_shots(shots)
        return written.estimate(self, circuit, operators, shots, seed)

    def counts(self, circuit: QuantumCircuit, shots: int, seed: int | None = None) -> dict[str, int]:
        """As every backend's, and also for measurements in the middle, resets and classical control."""
        check_shots(shots)
        check_bound(circuit)
        drawn = np.random.SeedSequence(seed).generate_state(1)[0] >> 1
        data = self.run_rewritten(self.rewritten(circuit), shots=shots, seed_simulator=int(drawn)).data(0)
        if "counts" not in data:
            raise LabError(READS_NOTHING)
        # Not by Aer's own `get_counts`, which leaves out the bits of no register.
        return by_outcome({int(key, 16): int(number) for key, number in data["counts"].items()}, circuit)

    def rewritten(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit as it was written, its gates decomposed only where Aer, its noise or its device has none such."""
        self._check_size(circuit.num_qubits)
        return self._written[1].run(without_lookalikes(circuit))

    def run_rewritten(self, ready: QuantumCircuit, shots: int, **options):
        """Aer's result of what `rewritten` returned."""
        size = 16 << min(ready.num_qubits, 60)
        with costs.run(circuits=1, shots=shots, gates=ready.size(), passes=ready.size(), peak_bytes=size):
            return _completed(self._written[0].run(ready, shots=shots, **options).result())

    def _check_size(self, n_qubits: int) -> None:
        """Say before Aer does, which knows its limit only as a number, what does not fit into memory."""
        size = 16 << (2 * n_qubits if self.method == "density_matrix" else n_qubits)
        if self.method in ("automatic", "statevector", "density_matrix") and n_qubits > MOST_CHECKED[self.method]:
            check_memory(size, f"simulating {n_qubits} qubits on Aer by method {self.method!r}")
        if n_qubits > (most := self._written[0].num_qubits or n_qubits):
            raise TooLarge(
                f"Aer's method {self.method!r} takes {most} qubits here, got {n_qubits}: use fewer, or method='stabilizer' "
                "for Clifford gates, 'matrix_product_state' where little is entangled"
            )


def _completed(result):
    if not result.success:
        reasons = {str(getattr(r, "status", "")) for r in result.results} or {str(result.status)}
        raise LabError(f"Aer did not complete the run: {'; '.join(sorted(reasons))[:300]}")
    return result


def adopt(candidate, **options) -> AerBackend | None:
    """The backend around an `AerSimulator`, or None for anything else."""
    if type(candidate).__module__.startswith("qiskit_aer") and hasattr(candidate, "set_options"):
        return AerBackend(simulator=candidate, **options)
    return None


BACKEND = AerBackend
