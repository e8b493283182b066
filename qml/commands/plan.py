"""`qml plan`: what a training run will cost, before it is run."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(plan)


def plan(
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
    batch_size: Annotated[int, typer.Option(help="Samples per step.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say how many circuits, shots, bytes and seconds `qml train` would take; nothing but short trials is run.

    The samples, features and classes are those of `qml train` without --data: scikit-learn's digits.
    """
    from dataclasses import asdict
    from json import dumps

    from circuits.errors import LabError
    from qml.models import HybridClassifier
    from qml.planning import plan as planned

    for name, value in (("--samples", samples), ("--features", features), ("--classes", classes)):
        if value < 1:
            raise LabError(f"{name} must be at least 1, got {value}")
    settings = {"encoding": encoding, "ansatz": ansatz, "backend": backend, "diff_method": diff_method}
    model = HybridClassifier(qubits, layers, shots=shots, max_epochs=epochs, batch_size=batch_size, **settings)
    core = model.untrained(features, classes).core
    full, rest = divmod(samples, batch_size)
    parts = [(min(batch_size, samples), full * epochs)] if full else []
    parts += [(rest, epochs)] if rest else []
    found = [planned(core, batch, steps) for batch, steps in parts]
    total = {
        "circuits": sum(part.circuits for part in found),
        "shots": sum(part.shots for part in found),
        "peak_bytes": max(part.peak_bytes for part in found),
        "seconds": sum(part.seconds for part in found),
    }
    step = planned(core, parts[0][0])
    if json:
        print(dumps({"method": core.method, "steps": sum(steps for _, steps in parts), "step": asdict(step), "run": total}))
        return
    print(f"{core.circuit.num_qubits} qubits, {len(core.weight_parameters)} weights, gradients by {core.method}")
    print(f"{'a step':8} {step}   ({parts[0][0]} samples)")
    print(f"{'the run':8} {type(step)(**total)}   ({epochs} epochs, {sum(steps for _, steps in parts):,} steps)")
