"""`qml plan`: what a training run, or steps of a circuit of one's own, will cost, before it is run."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qml.layer import QuantumLayer

# what describes `qml train` and not a circuit from a file, and the other way round
OF_TRAINING = ("samples", "features", "classes", "qubits", "layers", "encoding", "ansatz", "epochs")
OF_A_FILE = ("observable", "steps")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(plan)


def plan(
    context: typer.Context,
    file: Annotated[
        str | None, typer.Argument(help="A circuit in OpenQASM or QPY; - is standard input.", metavar="FILE")
    ] = None,
    observable: Annotated[
        list[str] | None, typer.Option(help="With FILE: such as ZZI, repeatable; Z on each qubit if none.")
    ] = None,
    steps: Annotated[int, typer.Option(help="With FILE: values and gradients.")] = 1,
    samples: Annotated[int, typer.Option(help="Training samples.")] = 1347,
    features: Annotated[int, typer.Option(help="Features of a sample.")] = 64,
    classes: Annotated[int, typer.Option(help="Classes.")] = 10,
    qubits: Annotated[int, typer.Option(help="Qubits of the circuit.")] = 8,
    layers: Annotated[int, typer.Option(help="Layers of the ansatz.")] = 6,
    encoding: Annotated[str, typer.Option(help="A function of circuits.encodings.")] = "angle",
    ansatz: Annotated[str, typer.Option(help="A function of circuits.ansatze.")] = "hardware_efficient",
    backend: Annotated[str, typer.Option(help="See `qml backends`.")] = "native",
    diff_method: Annotated[str, typer.Option(help="How the circuit is differentiated.")] = "best",
    shots: Annotated[int | None, typer.Option(help="A circuit's; without it, exact values.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 60,
    batch_size: Annotated[int | None, typer.Option(help="Samples per step: 64, or with FILE 1.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say how many circuits, shots, bytes and seconds `qml train`, or steps of a circuit in a FILE, would take.

    Nothing but short trials is run. Without a FILE the samples, features and classes are those of scikit-learn's digits, as
    in `qml train`. In a FILE the parameters of the vector x are inputs and all others weights.
    """
    from circuits.errors import LabError
    from qml.wording import counted

    _refuse_mixed(context, file)
    settings = {"backend": backend, "diff_method": diff_method, "shots": shots}
    if file is not None:
        if steps < 1:
            raise LabError(f"--steps must be at least 1, got {steps}")
        batch = 1 if batch_size is None else batch_size
        _report(_layer_of_file(file, observable, settings), [(batch, steps)], counted(steps, "step"), json)
        return
    from qml.models import HybridClassifier

    for name, value in (("--samples", samples), ("--features", features), ("--classes", classes)):
        if value < 1:
            raise LabError(f"{name} must be at least 1, got {value}")
    batch = 64 if batch_size is None else batch_size
    settings |= {"encoding": encoding, "ansatz": ansatz, "max_epochs": epochs, "batch_size": batch}
    core = HybridClassifier(qubits, layers, **settings).untrained(features, classes).core
    full, rest = divmod(samples, batch)
    parts = [(min(batch, samples), full * epochs)] if full else []
    parts += [(rest, epochs)] if rest else []
    _report(core, parts, f"{counted(epochs, 'epoch')}, {counted(sum(n for _, n in parts), 'step')}", json)


def _refuse_mixed(context: typer.Context, file: str | None) -> None:
    """Raise `LabError` for an option that would be without effect."""
    from circuits.errors import LabError

    for name in OF_A_FILE if file is None else OF_TRAINING:
        if context.get_parameter_source(name).name == "COMMANDLINE":
            raise LabError(
                f"--{name} describes {'a circuit from a FILE' if file is None else 'a run of `qml train`'}, and "
                + ("no FILE was given: write `qml plan FILE`" if file is None else "a FILE was given: leave one of them out")
            )


def _layer_of_file(file: str, observables: list[str] | None, settings: dict) -> "QuantumLayer":
    from circuits.errors import LabError
    from qml.circuit_files import load
    from qml.layer import QuantumLayer

    circuits = load(file, parameters=True)
    if len(circuits) > 1:
        raise LabError(f"{file} holds {len(circuits)} circuits: write the one to plan for to a file of its own")
    return QuantumLayer(circuits[0].remove_final_measurements(inplace=False), observables, seed=0, **settings)


def _report(layer: "QuantumLayer", parts: list[tuple[int, int]], length: str, json: bool) -> None:
    """Print the cost of a step and of the run: parts are samples a step and how many such steps."""
    from dataclasses import asdict
    from json import dumps

    from qml.planning import plan as planned
    from qml.wording import counted

    found = [planned(layer, batch, steps) for batch, steps in parts]
    total = {
        "circuits": sum(part.circuits for part in found),
        "shots": sum(part.shots for part in found),
        "peak_bytes": max(part.peak_bytes for part in found),
        "seconds": sum(part.seconds for part in found),
    }
    step = planned(layer, parts[0][0])
    if json:
        n_steps = sum(steps for _, steps in parts)
        print(dumps({"method": layer.method, "steps": n_steps, "step": asdict(step), "run": total}))
        return
    sizes = [counted(layer.circuit.num_qubits, "qubit")]
    sizes += [counted(layer.n_inputs, "input")] if layer.n_inputs else []
    sizes += [counted(len(layer.weight_parameters), "weight")]
    has_gradient = layer.n_inputs or layer.weight_parameters
    print(", ".join([*sizes, f"gradients by {layer.method}" if has_gradient else "nothing to differentiate: values alone"]))
    print(f"{'a step':8} {step}   ({counted(parts[0][0], 'sample')})")
    print(f"{'the run':8} {type(step)(**total)}   ({length})")
