"""How many shots does a gradient need, for a wanted error and for training, by every method, and how long is that?

Source: Mitarai, Negoro, Kitagawa, Fujii, Phys. Rev. A 98, 032309 (2018); Sweke et al., Quantum 4, 314 (2020), on training
with few shots; 25 kW for a machine at millikelvins, D-Wave's figure for its own: IEEE Spectrum, "How Much Power Will Quantum
Computing Need?" (2015); times of devices: studies/devices.py.

Expected: the squared error of a gradient is bias^2 + (spread + noise / N) / K, every term known exactly from values of
the circuit. Finite differences of step h need about 1/h^2 times the shots of parameter-shift; Hadamard tests as many
as parameter-shift; a block of commuting gates as many as one of its angles.

Control: RX on |0>, Z measured, whose laws are sines and cosines; and the classical twin of the classifier.

Minutes: 0.6 with --quick, 6 in full, on two cores.

First part: one observable, Z on all qubits, at given weights; measured squared errors beside the law, total shots by the
ledger. Methods that draw directions take `shots` shots a circuit and average over draws. Second part: `HybridClassifier`'s
network on the digits 3 and 8, their first principal components; shots until the test accuracy, computed exactly after
every step, is as wanted three steps in a row. Third part: circuits as they are run for one step, transpiled to a
device, times that number of shots.
"""

from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError
from studies.devices import DEVICES, as_circuit, by_name
from studies.gradient_laws import DIRECTIONS, LAWS, STEP, law
from studies.precision_report import figure, table, verdict

__all__ = ["Settings", "cases", "cost", "figure", "run", "table", "verdict"]

METHODS = tuple(LAWS)
CIRCUITS = ("one_qubit", "hardware_efficient", "commuting_blocks")
REFERENCES = ("adjoint", "twin")  # without shots
DIGITS = (3, 8)
IN_A_ROW = 3
CHUNK = 2048  # estimates at a time


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        qubits, layers: of the circuits whose gradients are estimated. budgets: total shots of a gradient, about.
        repeats: gradients estimated for each, a quarter of them where directions are drawn.
        points: weights at which the law is evaluated. error: wanted, over |g|.
        shots: of a circuit and draw, for methods that draw directions.
        train_qubits, train_layers, train_shots, seeds, steps, batch, learning_rate, accuracy: of the classifier.
        devices: names. kilowatts: of one in a refrigerator, all included.
        gigaflops_a_watt: of the computer that trains the twin, an assumption: a common processor.
        seed: of weights and shots.
    """

    qubits: int = 4
    layers: int = 2
    budgets: tuple[int, ...] = (320, 1280, 5120, 20480)
    repeats: int = 320
    points: int = 16
    error: float = 0.1
    shots: int = 10
    train_qubits: int = 4
    train_layers: int = 1
    train_shots: tuple[int, ...] = (10, 30, 100)
    seeds: int = 6
    steps: int = 100
    batch: int = 8
    learning_rate: float = 0.05
    accuracy: float = 0.95
    devices: tuple[str, ...] = tuple(DEVICES)
    kilowatts: float = 25.0
    gigaflops_a_watt: float = 1.0
    seed: int = 2305

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer estimates, weights and seeds, and two devices."""
        return cls(
            budgets=(320, 1280),
            repeats=80,
            points=6,
            train_shots=(30,),
            seeds=3,
            steps=80,
            devices=("ibm_torino", "ionq_aria"),
        )

    def __post_init__(self):
        for name in self.devices:
            by_name(name)
        for name in ("devices", "budgets", "train_shots"):
            if not getattr(self, name):
                raise LabError(f"setting {name} needs at least one")
        if self.qubits * self.layers * 2 > 18 or min(self.qubits, self.layers) < 1:
            raise LabError("settings qubits and layers allow at most 18 weights, 2 for each qubit and layer")
        if min(*self.budgets, *self.train_shots, self.shots, self.points, self.seeds, self.steps, self.batch) < 1:
            raise LabError("settings that count shots, weights, seeds, steps and samples must be at least 1")
        if self.repeats < 64 or not 0 < self.error < 1 or not 0.5 < self.accuracy <= 1:
            raise LabError("repeats must be at least 64, error between 0 and 1, accuracy above 0.5 and at most 1")
        if min(self.learning_rate, self.kilowatts, self.gigaflops_a_watt) <= 0 or self.seed < 0:
            raise LabError("learning_rate, kilowatts and gigaflops_a_watt must be positive, and seed at least 0")


def cases(settings: Settings) -> list[dict]:
    """One case for each circuit and method, for each method, number of shots and seed of training, and for each device."""
    s = settings
    shared = {"n_qubits": s.qubits, "n_layers": s.layers, "repeats": s.repeats, "points": s.points, "error": s.error}
    shared |= {"budgets": list(s.budgets), "shots": s.shots, "seed": s.seed}
    found = [{"part": "error", "circuit": c, "method": m, **shared} for c in CIRCUITS for m in METHODS]
    model = {"n_qubits": s.train_qubits, "n_layers": s.train_layers, "batch": s.batch}
    training = model | {"steps": s.steps, "learning_rate": s.learning_rate, "accuracy": s.accuracy}
    for seed in range(s.seed, s.seed + s.seeds):
        found += [{"part": "training", "method": m, "shots": 0, **training, "seed": seed} for m in REFERENCES]
        found += [
            {"part": "training", "method": m, "shots": n, **training, "seed": seed} for m in METHODS for n in s.train_shots
        ]
    clock = model | {"kilowatts": s.kilowatts, "gigaflops_a_watt": s.gigaflops_a_watt, "seed": s.seed}
    return found + [{"part": "clock", "method": m, "machine": d, **clock} for m in METHODS for d in s.devices]


def cost(case: dict) -> float:
    """About seconds."""
    if case["part"] == "clock":
        return 2.0 if case["method"] in ("hadamard", "commuting-blocks") else 0.3
    many = {"parameter-shift": 3, "finite-diff": 6, "hadamard": 2, "commuting-blocks": 2, "random-directions": 2}
    if case["part"] == "training":
        return 0.4 * many.get(case["method"], 1)
    return 2.0 + 1e-6 * case["repeats"] * sum(case["budgets"]) * many.get(case["method"], 3)


def run(case: dict) -> list[dict]:
    """Rows of squared errors and their law; a row of what training took; or a row of the seconds of a shot."""
    if case["part"] == "error":
        return _errors(case)
    return [_trained(case) if case["part"] == "training" else _clocked(case)]


def _circuit(case: dict):
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    from circuits import ansatze

    if case["circuit"] == "one_qubit":
        circuit = QuantumCircuit(1)
        circuit.rx(ParameterVector("w", 1)[0], 0)
        return circuit
    # As many weights as the other has.
    layers = case["n_layers"] * (2 if case["circuit"] == "commuting_blocks" else 1)
    return ansatze.by_name(case["circuit"])(case["n_qubits"], layers)


def _layer(case: dict, **options):
    import torch

    from qml import QuantumLayer

    circuit = _circuit(case)
    return QuantumLayer(circuit, "Z" * circuit.num_qubits, [], dtype=torch.float64, seed=case["seed"], **options)


def _errors(case: dict) -> list[dict]:
    """One row of the law over all weights, and one for each budget at the first of them."""
    exact, method = _layer(case), case["method"]
    points = _points(case, len(exact.weight_parameters))
    gradients = _gradients(exact, points)
    circuits, is_read = _what_is_run(case, points[0])
    laws = [law(method, lambda rows: _values(exact, rows), w, g, is_read) for w, g in zip(points, gradients)]
    shots = [case["shots"] if each.draws else None for each in laws]
    needed = [each.circuit_runs(case["error"] * np.linalg.norm(g), n) for each, g, n in zip(laws, gradients, shots)]
    row = {**case, "circuits": circuits, "weights": points.shape[1], "step": STEP, "directions": DIRECTIONS}
    found = [
        row
        | {
            "kind": "law",
            "length": [float(np.linalg.norm(g)) for g in gradients],
            "angles": points[:, 0].tolist() if case["circuit"] == "one_qubit" else [],
            **{name: [getattr(each, name) for each in laws] for name in ("bias", "spread", "noise")},
            "needed": [None if runs is None else circuits * runs for runs in needed],
        }
    ]
    for budget in case["budgets"]:
        runs = max(1, round(budget / circuits))
        n, draws = (case["shots"], max(1, runs // case["shots"])) if laws[0].draws else (runs, 1)
        repeats = case["repeats"] // (4 if laws[0].draws else 1)
        squared, total = _measured(case, points[0], gradients[0], n, draws, repeats)
        found.append(
            row
            | {
                "kind": "measured",
                "budget": budget,
                "circuit_shots": n,
                "draws": draws,
                "means": repeats,
                "total_shots": total,
                "squared_error": float(squared.mean()),
                "standard_error": float(squared.std(ddof=1) / np.sqrt(len(squared))),
                "law": laws[0].squared_error(n, draws),
                "length": [float(np.linalg.norm(gradients[0]))],
            }
        )
    return found


def _points(case: dict, count: int) -> np.ndarray:
    """(points, P) weights; on one qubit away from where the derivative is zero and no error relative to it."""
    from qml.seeds import seed_for

    generator = np.random.default_rng(seed_for(case["seed"], "weights", case["circuit"]))
    if case["circuit"] == "one_qubit":
        return generator.uniform(0.3, 1.3, (case["points"], 1))
    return generator.uniform(-np.pi, np.pi, (case["points"], count))


def _values(layer, rows: np.ndarray) -> np.ndarray:
    """(B,) values at (B, P) weights."""
    import torch

    with torch.no_grad():
        return layer.evaluate(None, torch.as_tensor(rows))[:, 0].numpy()


def _gradients(layer, rows: np.ndarray) -> np.ndarray:
    """(B, P) derivatives at (B, P) weights, each row from shots of its own."""
    import torch

    weights = torch.tensor(rows, requires_grad=True)
    layer.evaluate(None, weights).sum().backward()
    return weights.grad.numpy()


def _what_is_run(case: dict, weights: np.ndarray) -> tuple[int, np.ndarray]:
    """Circuits of one estimate, and (P,) which derivatives it measures: one shot of a string gives 1 or -1 and never 0."""
    import qml

    layer = _layer(case, diff_method=case["method"], shots=1)
    with qml.ledger(classical=False) as spent:
        once = _gradients(layer, weights[None])[0]
    return spent.gradients.circuits, once != 0


def _measured(case: dict, weights, gradient, shots: int, draws: int, repeats: int) -> tuple[np.ndarray, float]:
    """(repeats,) squared errors of means of so many draws, and the shots of each by the ledger."""
    import qml

    layer = _layer(case, diff_method=case["method"], shots=shots)
    left, parts = repeats * draws, []
    with qml.ledger(classical=False) as spent:
        while left:
            count = min(left, CHUNK)
            parts.append(_gradients(layer, np.tile(weights, (count, 1))))
            left -= count
    means = np.concatenate(parts).reshape(repeats, draws, -1).mean(axis=1)
    return ((means - gradient) ** 2).sum(axis=1), spent.gradients.shots / repeats


def _data(case: dict):
    """Train and test parts of two kinds of digits, as their first principal components."""
    import torch
    from sklearn.decomposition import PCA

    from qml import data

    digits = data.digits()
    chosen = digits.take(np.flatnonzero(np.isin(digits.labels, DIGITS)))
    train, test = data.split(chosen, case["seed"])
    pca = PCA(case["n_qubits"], svd_solver="full").fit(train.features)
    parts = [(pca.transform(part.features), part.labels == DIGITS[1]) for part in (train, test)]
    scaling = parts[0][0].mean(axis=0), parts[0][0].std(axis=0)
    return scaling, [(torch.as_tensor(features), torch.as_tensor(labels).long()) for features, labels in parts]


def _networks(case: dict, scaling, **options):
    """The network that is trained, and the same one without shots."""
    from qml import networks

    shape = {name: case[name] for name in ("n_qubits", "n_layers")}
    shape |= {"encoding": "angle", "ansatz": "hardware_efficient"}
    exact = networks.hybrid(*scaling, 2, case["seed"], shape)
    if case["method"] == "twin":
        twin = networks.classical_twin(exact, case["seed"])
        return twin, twin
    shots = {"shots": case["shots"]} if case.get("shots") else {}
    return networks.hybrid(*scaling, 2, case["seed"], shape | {"diff_method": case["method"]} | shots | options), exact


def _trained(case: dict) -> dict:
    """What was spent until the accuracy was as wanted, or in all steps."""
    import torch

    import qml
    from qml.seeds import seed_for

    torch.set_num_threads(1)  # the maps are too small to share
    scaling, ((features, labels), (test_features, test_labels)) = _data(case)
    network, exact = _networks(case, scaling)
    optimizer = torch.optim.Adam(network.parameters(), lr=case["learning_rate"])
    generator = np.random.default_rng(seed_for(case["seed"], "batches"))
    spent = dict.fromkeys(("circuits", "total_shots", "flops"), 0)
    reached, step, accuracy = 0, 0, 0.0
    while reached < IN_A_ROW and step < case["steps"]:
        step += 1
        batch = torch.as_tensor(generator.choice(len(features), case["batch"], replace=False))
        with qml.ledger() as costs:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(features[batch]), labels[batch]).backward()
        optimizer.step()
        total = costs.total
        for name, more in (("circuits", total.circuits), ("total_shots", total.shots), ("flops", costs.flops)):
            spent[name] += more
        if exact is not network:
            exact.load_state_dict(network.state_dict())
        with torch.no_grad():
            accuracy = float((exact(test_features).argmax(dim=1) == test_labels).double().mean())
        reached = reached + 1 if accuracy >= case["accuracy"] else 0
    return {**case, "reached": int(reached == IN_A_ROW), "taken": step, **spent, "last_accuracy": accuracy}


def _clocked(case: dict) -> dict:
    """Seconds of a shot on a device: a mean over the circuits of a training step, as often as each is run."""
    import torch

    from qml.backends.native import NativeBackend, NativeCircuit

    seen: dict[int, list] = {}

    class Recorded(NativeCircuit):
        def _sample(self, inputs, weights, shots, seed):
            first = inputs[0], weights if weights.ndim == 1 else weights[0]
            seen.setdefault(id(self), [self, first, 0])[2] += len(inputs)
            return super()._sample(inputs, weights, shots, seed)

    class Recording(NativeBackend):
        def compile(self, program, observables, slots=None):
            plain = super().compile(program, observables, slots)
            return Recorded(self, program, observables, plain.slots)

    scaling, ((features, labels), _) = _data(case)
    network, _ = _networks(case | {"shots": 1}, scaling, backend=Recording())
    torch.nn.functional.cross_entropy(network(features[: case["batch"]]), labels[: case["batch"]]).backward()
    device = by_name(case["machine"])
    weighed = [
        (rows, device.seconds(as_circuit(circuit.program, circuit.slots.join(inputs[None], weights)[:, 0])))
        for circuit, (inputs, weights), rows in seen.values()
    ]
    rows = sum(count for count, _ in weighed)
    seconds = sum(count * each for count, each in weighed) / rows
    row = {
        "programs": len(weighed),
        "rows": rows,
        "shot_seconds": seconds,
        "delay": device.delay,
        "is_cold": int(device.is_cold),
    }
    return {**case, **row, "source": device.source}
