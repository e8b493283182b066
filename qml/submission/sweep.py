"""One circuit at many parameter values: from arrays, from a mapping of names, or from a CSV."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from circuits.errors import LabError, TooLarge

MOST_ROWS = 1_000_000


@dataclass(frozen=True)
class Sweep:
    """A circuit and a table of values for its free parameters, (P,) for one circuit or (rows, P) for a list of them."""

    circuit: QuantumCircuit
    table: np.ndarray

    @classmethod
    def of(cls, circuit: QuantumCircuit, values: Any) -> "Sweep":
        """The sweep that these values describe.

        Args:
            circuit: with free parameters.
            values: (P,) or (rows, P) numbers in the order of `circuit.parameters`, or a mapping from a parameter, a
                ParameterVector or a name to one value or to one for each row (a vector: (L,) or (rows, L)).

        Raises:
            LabError: a parameter that is missing, unknown or given twice, a table of another shape, a value that is not
                finite.
        """
        return cls(circuit, _table(circuit, values))

    def circuits(self) -> QuantumCircuit | list[QuantumCircuit]:
        """The circuit at its values; of a table, circuits named "name[row]" in the order of the rows."""
        if self.table.ndim == 1:
            return self.circuit.assign_parameters(self.table.tolist())
        circuits = []
        for row, numbers in enumerate(self.table.tolist()):
            circuits.append(self.circuit.assign_parameters(numbers))
            circuits[-1].name = f"{self.circuit.name}[{row}]"
        return circuits

    def points(self) -> list[dict[str, float]]:
        """Parameters' names with their values, for each circuit."""
        names = [parameter.name for parameter in self.circuit.parameters]
        return [dict(zip(names, numbers, strict=True)) for numbers in np.atleast_2d(self.table).tolist()]


def _table(circuit: QuantumCircuit, values: Any) -> np.ndarray:
    if not isinstance(circuit, QuantumCircuit):
        raise LabError(f"parameter values are for one circuit, got {type(circuit).__name__}: submit each with its own")
    parameters = list(circuit.parameters)
    if not parameters:
        raise LabError(f"circuit {circuit.name!r} has no free parameters, and parameter values were given: leave them out")
    table = _from_mapping(values, parameters) if isinstance(values, Mapping) else _numbers(values, "parameter values")
    if table.ndim not in (1, 2) or table.shape[-1] != len(parameters) or not table.size:
        names = ", ".join(parameter.name for parameter in parameters[:6]) + (", ..." if len(parameters) > 6 else "")
        raise LabError(
            f"parameter values have shape {table.shape}: give ({len(parameters)},) or (rows, {len(parameters)}), "
            f"in this order: {names}"
        )
    return table


def read_csv(data: bytes, name: str, circuit: QuantumCircuit) -> np.ndarray:
    """(rows, P) values from a CSV whose first line names the parameters, or which has no such line and follows their order.

    Args:
        name: what messages call the file.

    Raises:
        LabError: what is wrong with the file, with its line. TooLarge: more lines than MOST_ROWS.
    """
    names = [parameter.name for parameter in circuit.parameters]
    try:
        lines = [line for line in csv.reader(io.StringIO(data.decode("utf-8-sig")), skipinitialspace=True) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabError(f"{name} is no CSV of numbers ({error}): one line of numbers for each circuit") from None
    header = names
    if lines and not all(_is_number(cell) for cell in lines[0]):
        header = [cell.strip() for cell in lines.pop(0)]
        _check_names(header, names, name)
    if not lines:
        raise LabError(f"{name} has no line of numbers: write one for each circuit")
    if len(lines) > MOST_ROWS:
        raise TooLarge(f"{name} has {len(lines):,} lines of numbers, more than {MOST_ROWS:,}: submit it in parts")
    rows = np.empty((len(lines), len(names)))
    for number, line in enumerate(lines):
        if len(line) != len(header) or not all(_is_number(cell) for cell in line):
            got = ",".join(line)[:60]
            raise LabError(f"{name}, line of numbers {number + 1}: wanted {len(header)} numbers, got {got!r}")
        rows[number, [names.index(word) for word in header]] = [float(cell) for cell in line]
    return rows


def _check_names(given: list[str], names: list[str], where: str) -> None:
    unknown = [word for word in given if word not in names]
    missing = [word for word in names if word not in given]
    if unknown or missing or len(set(given)) != len(given):
        fault = f"has no parameter {unknown[0]!r}" if unknown else f"misses {missing[0]!r}" if missing else "names one twice"
        raise LabError(f"{where} {fault}: the circuit's free parameters are {', '.join(names[:8]) or 'none'}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _from_mapping(values: Mapping, parameters: list[Parameter]) -> np.ndarray:
    columns: dict[str, np.ndarray] = {}
    for key, given in values.items():
        numbers = _numbers(given, f"values of {getattr(key, 'name', key)}")
        members = _members(key, parameters)
        parts = np.moveaxis(numbers, -1, 0) if len(members) > 1 or isinstance(key, ParameterVector) else [numbers]
        if len(parts) != len(members):
            raise LabError(f"values of {getattr(key, 'name', key)} have shape {numbers.shape}: its length is {len(members)}")
        for name, part in zip(members, parts):
            if name in columns:
                raise LabError(f"parameter {name!r} is given twice")
            columns[name] = part
    names = [parameter.name for parameter in parameters]
    _check_names(list(columns), names, "the mapping of parameter values")
    try:
        return np.stack(np.broadcast_arrays(*(columns[name] for name in names)), axis=-1)
    except ValueError:
        sizes = sorted({len(column) for column in columns.values() if column.ndim})
        raise LabError(f"parameters are given different numbers of values ({sizes}): one for each row, or one") from None


def _members(key: Any, parameters: list[Parameter]) -> list[str]:
    """Names of the circuit's parameters that a key of a mapping stands for."""
    if isinstance(key, ParameterVector):
        return [element.name for element in key]
    name = getattr(key, "name", key)
    vector = [p.name for p in parameters if getattr(getattr(p, "vector", None), "name", None) == name]
    return vector or [name]


def _numbers(values: Any, what: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise LabError(f"{what} are no numbers: give an array of floats") from None
    if not np.isfinite(numbers).all():
        raise LabError(f"{what} hold {numbers[~np.isfinite(numbers)][0]}: all must be finite")
    return numbers
