"""Circuits from files: OpenQASM 2 and 3 (told by the header) and Qiskit's QPY, or from standard input.

What a file is, its contents say, not its name. Nothing in a file is run as code: QPY of formats before 13,
whose reader unpickles, is refused.
"""

import contextlib
import io
import os
import re
import struct
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from circuits.errors import LabError, TooLarge

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MOST_BYTES = 256 << 20
MOST_BITS = 10_000  # a register beyond this is a slip or damage; Qiskit would allocate whatever the file says
OLDEST_QPY = 13
SUFFIXES = (".qasm", ".qasm2", ".qasm3", ".qpy")
_QPY_MAGIC = b"QISKIT"
_WANTED = "give an OpenQASM 2 or 3 file (it begins with 'OPENQASM 2.0;' or 'OPENQASM 3.0;') or a Qiskit QPY file"


def load(path: str | os.PathLike, parameters: bool = False) -> list["QuantumCircuit"]:
    """The circuits in a file; an OpenQASM file holds one, a QPY file one or more.

    Args:
        path: the file; "-" is standard input.
        parameters: whether circuits may have free parameters.

    Raises:
        LabError: a file that is missing, empty, malformed or of another kind; a free parameter or an angle
            that is not finite, by name.
        TooLarge: a register of more than MOST_BITS bits.
    """
    return parse(read(path), _called(path), path, parameters)


def load_all(paths: Iterable[str | os.PathLike], parameters: bool = False) -> list["QuantumCircuit"]:
    """The circuits of all files, in their order; a folder stands for its files with SUFFIXES, by name.

    Raises:
        LabError: as `load` does; or a folder without such a file.
    """
    circuits = []
    for path in paths:
        for file in _files(path):
            circuits += load(file, parameters)
    return circuits


def _files(path: str | os.PathLike) -> list[str | os.PathLike]:
    if str(path) == "-" or not os.path.isdir(path):
        return [path]
    found = sorted(file for file in Path(path).iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise LabError(f"the folder {path} has no file that ends in {', '.join(SUFFIXES)}: {_WANTED}")
    return found


def parse(data: bytes, name: str, path: str | os.PathLike = ".", parameters: bool = False) -> list["QuantumCircuit"]:
    """The circuits in a file's content, which messages call `name`; a file that it includes is looked for beside `path`."""
    if data.startswith(_QPY_MAGIC):
        circuits = _from_qpy(data, name)
    else:
        circuits = [_from_qasm(data, name, path)]
    if not circuits:
        raise LabError(f"{name} holds no circuits: write it with qiskit.qpy.dump([circuit], file)")
    for number, circuit in enumerate(circuits):
        where = name if len(circuits) == 1 else f"{name}, circuit {number}"
        check_circuit(circuit, where, parameters)
    return circuits


def check_circuit(circuit: "QuantumCircuit", where: str, parameters: bool = False) -> None:
    """Raise `LabError` for a circuit without qubits, with infinite or NaN angles, or with free parameters.

    Args:
        circuit: any circuit.
        where: what to call it in the message.
        parameters: whether it may have free parameters.
    """
    if not circuit.num_qubits:
        raise LabError(f"{where} has no qubits: declare some, such as 'qreg q[2];' or QuantumCircuit(2)")
    if circuit.parameters and not parameters:
        names = [parameter.name for parameter in circuit.parameters]
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        raise LabError(
            f"{where} has {len(names)} free parameter{'s' * (len(names) > 1)} ({shown}): "
            "give values by --values FILE.csv, or by circuit.assign_parameters(...) before writing it"
        )
    for gate, value in _numbers(circuit):
        if value.dtype.kind in "fc" and not np.isfinite(value).all():
            raise LabError(f"{where} has a gate {gate!r} with the parameter {value}: all must be finite")


def _numbers(circuit: "QuantumCircuit") -> list[tuple[str, np.ndarray]]:
    """Every gate's parameters as arrays; expressions and whatever is no number have dtype object."""
    numbers = [("global_phase", np.asarray(circuit.global_phase))]
    for instruction in circuit.data:
        operation = instruction.operation
        numbers += [
            (operation.name, np.asarray(value))
            for value in operation.params
            if isinstance(value, int | float | complex | np.ndarray | np.number)
        ]
    return numbers


def _called(path: str | os.PathLike) -> str:
    return "standard input" if str(path) == "-" else str(path)


def read(path: str | os.PathLike, wanted: str = _WANTED) -> bytes:
    """The content of a file that may hold circuits, or of standard input for "-"; messages end with what is `wanted`.

    Raises:
        LabError: missing, empty or unreadable. TooLarge: more than MOST_BYTES.
    """
    name = _called(path)
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if str(path) == "-" else open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise LabError(f"{name} is a folder: {wanted}") from None
    except FileNotFoundError:
        raise LabError(f"{name} does not exist: {wanted}") from None
    except (OSError, ValueError) as error:
        raise LabError(f"{name} cannot be read ({getattr(error, 'strerror', None) or error}): {wanted}") from None
    if len(data) > MOST_BYTES:
        raise TooLarge(f"{name} is larger than {MOST_BYTES >> 20} MiB: split it into files of fewer circuits")
    if not data.strip():
        raise LabError(f"{name} is empty: {wanted}")
    return data


def _from_qasm(data: bytes, name: str, path: str | os.PathLike) -> "QuantumCircuit":
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LabError(f"{name} is neither OpenQASM text nor a QPY file: {_WANTED}") from None
    code = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    header = re.match(r"\s*OPENQASM\s+(\d+)(?:\.\d+)?\s*;", code)
    if header is None:
        raise LabError(f"{name} does not begin with an OpenQASM version: {_WANTED}")
    readers = {"2": _from_qasm2, "3": _from_qasm3}
    if header[1] not in readers:
        raise LabError(f"{name} is OpenQASM {header[1]}, which nothing here reads: {_WANTED}")
    sizes = re.findall(r"\b(?:[qc]reg\s+\w+|(?:qu)?bit)\s*\[\s*(\d+)\s*\]", code)
    _check_bits(sum(map(int, sizes)), name)
    place = Path("stdin" if str(path) == "-" else path)
    circuit = _guarded(lambda: readers[header[1]](text, place.parent), name, f"OpenQASM {header[1]}")
    circuit.name = place.stem
    return circuit


def _from_qasm2(text: str, folder: Path) -> "QuantumCircuit":
    from qiskit import qasm2

    # Qiskit's own files use gates that the paper's qelib1.inc lacks (sx, rzz ...): its extended one has them.
    return qasm2.loads(
        text,
        include_path=(*qasm2.LEGACY_INCLUDE_PATH, folder),
        custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
        custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
    )


def _from_qasm3(text: str, folder: Path) -> "QuantumCircuit":
    from qiskit import qasm3

    # The parser prints a syntax error's place to standard error and raises an exception without a message.
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return qasm3.loads(text)
    except Exception as error:
        raise ValueError(getattr(error, "message", str(error)) or said.getvalue()) from error


def _from_qpy(data: bytes, name: str) -> list["QuantumCircuit"]:
    from qml.qpy_reader import circuits_of

    _check_qpy_header(data, name)
    return _guarded(lambda: circuits_of(data), name, "QPY", " (write it again with qiskit.qpy.dump)")


def _check_qpy_header(data: bytes, name: str) -> None:
    """Refuse more bits than a sound file has, before Qiskit allocates them, and formats read by pickle."""
    try:
        version, n_programs = struct.unpack_from("!6xB3xQ", data)
        if version < OLDEST_QPY:
            raise LabError(
                f"{name} is QPY of format {version}: write it again with Qiskit 1.3 or newer, or write "
                "OpenQASM 3 with the Qiskit that wrote it"
            )
        start = struct.calcsize("!6sBBBBQcc")
        starts = [start]
        if version >= 16:  # a table of where each circuit starts
            starts = struct.unpack_from(f"!{min(n_programs, len(data))}Q", data, start)
        for place in starts:
            _check_bits(sum(struct.unpack_from("!HcHII", data, place)[-2:]), name)
    except (struct.error, OverflowError):
        raise LabError(f"{name} is not sound QPY: it is truncated (write it again with qiskit.qpy.dump)") from None


def _check_bits(n_bits: int, name: str) -> None:
    if n_bits > MOST_BITS:
        raise TooLarge(
            f"{name} declares {n_bits:,} qubits and bits, more than any simulator holds (n qubits take "
            f"16 * 2^n bytes): declare at most {MOST_BITS:,}"
        )


def _guarded(read, name: str, kind: str, advice: str = ""):
    """What `read` returns; whatever a parser may raise (Rust panics are no `Exception`) becomes one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise LabError(f"{name} is not sound {kind}: {_reason(error)}{advice}") from error


def _reason(error: BaseException) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(getattr(error, "message", "") or error))
    text = re.sub(r"^(?:<input>:)?(?:line )?(\d+)[,:](\d+):?\s+", r"line \1, column \2: ", text.strip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0][:200] if lines else type(error).__name__).rstrip(": ")
