"""The study of how precise a gradient from shots is: exact laws against sampled gradients, closed forms, and clocks."""

import importlib.util
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from circuits import ansatze, encodings
from circuits.errors import LabError, UnknownName
from circuits.lowering import lower
from studies import devices, gradient_laws, precision_report
from studies import gradient_precision as study

SEED = 7
SIGMAS = 5


def errors(circuit, method, **changes):
    settings = study.Settings(
        **{"qubits": 3, "layers": 1, "budgets": (240,), "repeats": 64, "points": 2, "seed": SEED} | changes
    )
    (case,) = (c for c in study.cases(settings) if c["part"] == "error" and (c["circuit"], c["method"]) == (circuit, method))
    return study.run(case)


@pytest.mark.parametrize("circuit", study.CIRCUITS)
@pytest.mark.parametrize("method", study.METHODS)
def test_a_sampled_gradient_errs_as_the_law_says(circuit, method):
    law, measured = errors(circuit, method)
    assert abs(precision_report.sigmas(measured)) <= SIGMAS, f"seed {SEED}"
    # The ledger's shots are circuits times shots times draws, so what the law counts with is what was run.
    assert measured["total_shots"] == law["circuits"] * measured["circuit_shots"] * measured["draws"]


@pytest.mark.parametrize("method", study.METHODS)
def test_on_one_qubit_the_law_is_the_closed_form(method):
    law, _ = errors("one_qubit", method)
    for angle, bias, noise in zip(law["angles"], law["bias"], law["noise"]):
        assert (bias, noise) == pytest.approx(precision_report.closed_forms(method, angle, law["step"]), rel=1e-9, abs=1e-12)


def test_methods_run_the_circuits_that_theory_gives():
    counted = {method: errors("commuting_blocks", method)[0]["circuits"] for method in study.METHODS}
    assert counted == {
        "parameter-shift": 12, "hadamard": 6, "commuting-blocks": 2, "random-directions": 8, "spsa": 2, "finite-diff": 12,
    }  # fmt: skip


def test_where_values_are_small_methods_differ_by_what_theory_says():
    weights, gradient = np.zeros(5), np.full(5, 0.01)
    laws = {m: gradient_laws.law(m, lambda rows: np.zeros(len(rows)), weights, gradient) for m in study.METHODS}
    shots = {
        method: circuits * laws[method].circuit_runs(0.1) for method, circuits in [("parameter-shift", 10), ("hadamard", 5)]
    }
    assert shots["parameter-shift"] == pytest.approx(shots["hadamard"], rel=1e-3)
    # Finite differences divide the same noise by twice their step.
    ratio = laws["finite-diff"].noise / laws["parameter-shift"].noise
    assert ratio == pytest.approx(1 / gradient_laws.STEP**2)


def test_no_number_of_shots_brings_an_error_below_the_bias():
    law = gradient_laws.Law(bias=0.2, spread=1.0, noise=3.0)
    assert law.circuit_runs(0.2) is None and law.circuit_runs(0.1, shots=10) is None
    runs = law.circuit_runs(0.25, shots=10)
    assert law.squared_error(10, runs / 10) == pytest.approx(0.25**2)


def test_the_law_of_spsa_refuses_more_signs_than_it_can_go_through():
    with pytest.raises(LabError, match="at most 18 angles, got 30"):
        gradient_laws.law("spsa", lambda rows: np.zeros(len(rows)), np.zeros(30), np.zeros(30))


def test_a_median_counts_runs_that_did_not_get_there_as_the_largest():
    many = precision_report.median([*range(1, 9), math.inf, math.inf])
    assert (many.value, many.low, many.high) == (5.5, 2, math.inf)
    assert precision_report.median([1, math.inf, math.inf]).value == math.inf


def test_the_interval_of_a_median_holds_it_as_often_as_it_says():
    generator = np.random.default_rng(SEED)
    found = [precision_report.median(generator.exponential(size=10)) for _ in range(4000)]
    share = np.mean([each.low <= math.log(2) <= each.high for each in found])
    assert abs(share - 0.9785) <= SIGMAS * math.sqrt(0.9785 * 0.0215 / 4000), f"seed {SEED}"


def test_training_counts_its_shots_and_the_twin_its_operations():
    settings = study.Settings(train_qubits=2, train_shots=(20,), seeds=1, steps=3, batch=4, accuracy=0.99)
    rows = {c["method"]: study.run(c)[0] for c in study.cases(settings) if c["part"] == "training"}
    # A value of each sample, and two for each of 4 weights and 2 inputs.
    assert rows["parameter-shift"]["total_shots"] == 3 * 4 * 20 * (1 + 2 * 6)
    assert rows["hadamard"]["total_shots"] == 3 * 4 * 20 * (1 + 6)
    assert rows["adjoint"]["total_shots"] == rows["twin"]["total_shots"] == 0 < rows["twin"]["flops"]


def test_a_program_as_a_circuit_does_what_the_program_says():
    circuit = encodings.angle(3).compose(ansatze.commuting_blocks(3, 2))
    circuit.crx(0.3, 0, 2)
    program = lower(circuit)
    angles = np.random.default_rng(SEED).uniform(-3, 3, len(program.slots))
    bound = circuit.assign_parameters({next(iter(slot.parameters)): a for slot, a in zip(program.slots, angles)})
    assert Operator(devices.as_circuit(program, angles)).equiv(Operator(bound))


def test_a_shot_lasts_as_long_as_its_longest_path_and_its_readout():
    torino, aria = devices.by_name("ibm_torino"), devices.by_name("ionq_aria")
    circuit = QuantumCircuit(2)
    circuit.sx([0, 1])
    assert torino.seconds(circuit) == pytest.approx(torino.one_qubit_time + torino.readout_time)
    assert aria.seconds(circuit) == pytest.approx(2 * aria.one_qubit_time + aria.readout_time)  # one gate at a time
    with pytest.raises(UnknownName, match="did you mean"):
        study.Settings(devices=("ibm_turino",))


@pytest.mark.skipif(
    importlib.util.find_spec("qiskit_ibm_runtime") is None,
    reason="qiskit-ibm-runtime, whose snapshots these are, is not installed",
)
@pytest.mark.parametrize("name", [name for name in devices.DEVICES if name.startswith("ibm_")])
def test_the_clock_of_a_device_is_that_of_its_published_snapshot(name):
    from qiskit_ibm_runtime import fake_provider

    device = devices.by_name(name)
    snapshot = getattr(fake_provider, f"Fake{name.removeprefix('ibm_').title()}")()

    def median(gate):
        return np.median([p.duration for p in snapshot.target[gate].values() if p.duration is not None])

    times = {"sx": device.one_qubit_time, device.two_qubit: device.two_qubit_time, "measure": device.readout_time}
    assert {gate: median(gate) for gate in times} == pytest.approx(times, rel=1e-4)
    assert snapshot.configuration().default_rep_delay == pytest.approx(device.delay)


def test_table_verdict_and_figure_say_what_was_found():
    settings = study.Settings(
        qubits=2, layers=1, budgets=(160,), repeats=64, points=2, train_qubits=2, train_shots=(20,), seeds=2, steps=12,
        accuracy=0.51, devices=("ibm_torino",),
    )  # fmt: skip
    rows = [row for case in study.cases(settings) for row in study.run(case)]
    said = study.verdict(rows)
    assert "of the exact law" in said and "is the closed form" in said and "kWh" in said
    assert [line["method"] for line in study.table(rows)][-1] == "classical twin"
    assert len(study.figure(rows).get_axes()) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"qubits": 5, "layers": 2}, "at most 18 weights"),
        ({"repeats": 3}, "repeats must be"),
        ({"kilowatts": 0.0}, "positive"),
        ({"devices": ()}, "at least one"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, words):
    with pytest.raises(LabError, match=words):
        study.Settings(**changes)
