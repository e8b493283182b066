"""Tables of features and labels: CSV files as users have them, and scikit-learn's digits.

A file is read as it is or refused in one line that names the line and the column; no value is guessed or dropped.
"""

import csv
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from circuits.errors import LabError, UnknownName

DELIMITERS = (",", ";", "\t")
TEST_FRACTION = 0.25
_NOT_A_NAME = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})  # what files write where a value is missing
_UNLABELLED = frozenset({"", "?", "nan"})


@dataclass(frozen=True)
class Dataset:
    """Samples with their labels.

    Attributes:
        features: shape (n_samples, n_features), float64.
        labels: shape (n_samples,), whole numbers or text; None where the file has no label column.
        feature_names: from the header, else None.
        name: the file's name without its ending.
        label: position of the label column in the file, counted from 0; None without one.
        label_name: its name in the header, else None.
    """

    features: np.ndarray
    labels: np.ndarray | None
    feature_names: list[str] | None
    name: str
    label: int | None = None
    label_name: str | None = None

    def take(self, rows: np.ndarray) -> "Dataset":
        """The samples with these indices."""
        return Dataset(self.features[rows], self.labels[rows], self.feature_names, self.name, self.label, self.label_name)


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file, all rows of one length.

    Attributes:
        path: of the file.
        header: names of the columns, or None.
        rows: the cells, without the header and without blank lines.
        lines: the line of the file each row ends on, counted from 1.
    """

    path: Path
    header: list[str] | None
    rows: list[list[str]]
    lines: list[int]

    @property
    def n_columns(self) -> int:
        """Cells per row."""
        return len(self.rows[0])

    def column(self, label: str | int) -> int:
        """Position of the column called `label`: "last", a name of the header, or an index, negative from the end.

        Raises:
            LabError: there is no such column; the message gives the nearest name or the range.
        """
        header = self.header or []
        if label == "last":
            return self.n_columns - 1
        if header.count(label) > 1:
            raise LabError(f"{self.path} has {header.count(label)} columns called {label!r}: write the index of one")
        if label in header:
            return header.index(label)
        try:
            index = int(label)
        except ValueError:
            if self.header:
                raise UnknownName("label column", label, header) from None
            raise LabError(
                f"{self.path} has no header in which to find the label column {label!r}: "
                f"write last or an index from 0 to {self.n_columns - 1}"
            ) from None
        if not -self.n_columns <= index < self.n_columns:
            raise LabError(
                f"{self.path} has {self.n_columns} columns, so there is no column {index}: "
                f"write last or an index from 0 to {self.n_columns - 1}"
            )
        return index % self.n_columns

    def where(self, row: int, column: int) -> str:
        """How messages name a cell."""
        name = f" ({self.header[column]})" if self.header else ""
        return f"{self.path}, line {self.lines[row]}, column {column + 1}{name}"


@dataclass(frozen=True)
class Cells:
    """The cells of a CSV file, all rows of one length.

    Attributes:
        has_header: whether the first row is one; None: its label column decides.
    """

    path: Path
    rows: list[list[str]]
    lines: list[int]
    has_header: bool | None = None

    @property
    def n_columns(self) -> int:
        """Cells per row."""
        return len(self.rows[0])

    def table(self, label: str | int | None) -> Table:
        """Header and data, where `label` is the label column.

        Raises:
            LabError: there is a header and nothing else.
        """
        has_header = _is_header(self.rows, label) if self.has_header is None else self.has_header
        if has_header and len(self.rows) == 1:
            raise LabError(f"{self.path} holds a header and no data")
        return Table(self.path, self.rows[0] if has_header else None, self.rows[has_header:], self.lines[has_header:])


def load_csv(
    file: str | os.PathLike | Cells, label: str | int | None = "last", labels_are_text: bool | None = None
) -> Dataset:
    """Features and labels of a CSV file, or of one that was read.

    Commas, semicolons or tabs; with a header or without: the first row is one if no feature in it is a number, or if
    only its label is not one. Every column but the label must hold finite numbers.

    Args:
        label: "last", a name in the header, or an index from 0 (negative: from the end); None: there is none.
        labels_are_text: whether labels are kept as they are written; None: unless all of them are whole numbers.

    Raises:
        LabError: missing, empty or malformed file, a cell that is no finite number (line and column), a row without a
            label, labels that are fractions.
    """
    table = file.table(label) if isinstance(file, Cells) else read_table(file, label)
    position = None if label is None else table.column(label)
    kept = [column for column in range(table.n_columns) if column != position]
    if not kept:
        raise LabError(f"{table.path} has one column only: features and a label need two, separated by , ; or a tab")
    names = [table.header[column] for column in kept] if table.header else None
    label_name = table.header[position] if table.header and position is not None else None
    labels = None if position is None else _labels(table, position, labels_are_text)
    return Dataset(_features(table, kept), labels, names, table.path.stem, position, label_name)


def digits() -> Dataset:
    """scikit-learn's digits: 1,797 handwritten digits of 8 x 8 pixels from 0 to 16, all ten classes.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998); they come with scikit-learn.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Dataset(bunch.data, bunch.target, list(bunch.feature_names), "digits")


def split(data: Dataset, seed: int, test_fraction: float = TEST_FRACTION) -> tuple[Dataset, Dataset]:
    """A training and a test part with the classes in equal shares.

    It is `sklearn.model_selection.train_test_split(..., stratify=labels, random_state=seed)`, so anyone can repeat it.

    Raises:
        LabError: too few samples for each class to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    classes, counts = np.unique(data.labels, return_counts=True)
    if len(classes) < 2:
        raise LabError(f"{data.name} holds 1 class only, {classes[0]!s}: a classifier needs two or more")
    if counts.min() < 2:
        rare = classes[counts.argmin()]
        raise LabError(f"{data.name} has one sample of class {rare!s}, too few to split: give --test FILE as well")
    n_test = math.ceil(test_fraction * len(data.labels))
    if not len(classes) <= n_test <= len(data.labels) - len(classes):
        raise LabError(
            f"{data.name} has {len(data.labels)} samples of {len(classes)} classes, too few to hold "
            f"{test_fraction:.0%} out as a test: give --test FILE as well"
        )
    rows = np.arange(len(data.labels))
    train, test = train_test_split(rows, test_size=test_fraction, stratify=data.labels, random_state=seed)
    return data.take(train), data.take(test)


def read_table(path: str | os.PathLike, label: str | int | None = "last") -> Table:
    """The cells of a CSV file; `label` helps to tell a header from a first row of data.

    Raises:
        LabError: the file is missing, empty, not text, holds a header alone, or its rows differ in length (line number).
    """
    return read_cells(path).table(label)


def read_cells(path: str | os.PathLike) -> Cells:
    """The cells of a CSV file, which is read once: it may be a pipe.

    Raises:
        LabError: the file is missing, empty, not text, or its rows differ in length (line number).
    """
    path = Path(path)
    text = _text(path)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise LabError(f"{path}, line {reader.line_num}: {error}") from None
    _check_lengths(path, rows, lines)
    return Cells(path, rows, lines)


def _text(path: Path) -> str:
    if not path.exists():
        raise LabError(f"there is no file {path}: write the path of a CSV file")
    if path.is_dir():
        raise LabError(f"{path} is a folder: write the path of a CSV file in it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise LabError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8") from None
    if "\0" in text:
        raise LabError(f"{path} holds zero bytes, so it is not text: write the path of a CSV file")
    if not text.strip():
        raise LabError(f"{path} is empty: a line per sample is needed, features and label")
    return text


def _delimiter(text: str) -> str:
    """The one that cuts the first lines into most cells, the same number in each; a comma if none does."""
    lines = [line for line in text[:65536].splitlines() if line.strip()][:20]

    def rank(delimiter):
        lengths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        return max(lengths) > 1, len(set(lengths)) == 1, max(lengths)

    return max(DELIMITERS, key=rank)


def _check_lengths(path: Path, rows: list[list[str]], lines: list[int]) -> None:
    for row, line in zip(rows, lines):
        if len(row) != len(rows[0]):
            raise LabError(
                f"{path}, line {line} has {len(row)} columns where line {lines[0]} has {len(rows[0])}: "
                "every row needs as many"
            )


def _is_header(rows: list[list[str]], label: str | int | None) -> bool:
    first = rows[0]
    if not first[0] and len(first) > 2 and not any(cell == "" or _number(cell) is not None for cell in first[1:]):
        raise LabError("the first column has no name, like an index that pandas wrote: drop it (index=False)")
    position = _position(label, len(first))
    features = [cell for column, cell in enumerate(first) if column != position]
    has_number = any(_number(cell) is not None for cell in first)
    if any(map(_is_missing, first)) and (has_number or all(map(_is_missing, features))):
        return False  # in a header, such a cell is a name among names: Na is sodium
    if label in first and label != "last" and _number(str(label)) is None:
        return True
    if features and not any(_number(cell) is not None for cell in features):
        return True
    if position is None or len(rows) == 1:
        return False
    is_counted = [str(k) for k in range(len(first))] in (first, [*features, str(len(features))])
    if is_counted and all(row[position] != first[position] for row in rows[1:]):
        return True  # columns without names, as pandas numbers them
    if _number(first[position]) is not None:
        return False
    return all(_number(row[position]) is not None for row in rows[1:])


def _is_missing(cell: str) -> bool:
    return cell.lower() in _NOT_A_NAME


def _position(label: str | int | None, n_columns: int) -> int | None:
    if label is None:
        return None
    try:
        index = n_columns - 1 if label == "last" else int(label)
    except ValueError:
        return None
    return index % n_columns


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python reads 1_000 as a number, data files do not
    except ValueError:
        return None


def _features(table: Table, columns: list[int]) -> np.ndarray:
    cells = [[row[column] for column in columns] for row in table.rows]
    features = np.array([[_number(cell) for cell in row] for row in cells], dtype=np.float64)  # None becomes NaN
    for index, place in np.argwhere(~np.isfinite(features))[:1]:
        cell = cells[index][place]
        raise LabError(
            f"{table.where(index, columns[place])} is {repr(cell) if cell else 'empty'}, not a finite number: "
            "features must be numbers, fill it or drop the row or the column"
        )
    return features


def _labels(table: Table, column: int, are_text: bool | None) -> np.ndarray:
    cells = [row[column] for row in table.rows]
    for index, cell in enumerate(cells):
        if cell.lower() in _UNLABELLED:
            found = f"is {cell!r}" if cell else "is empty"
            raise LabError(f"{table.where(index, column)} {found}, so the row has no label: give it one or drop it")
    numbers = [_number(cell) for cell in cells]
    if are_text or any(number is None or abs(number) >= 2**53 for number in numbers):
        return np.array(cells)
    for index, number in enumerate(numbers):
        if not number.is_integer():
            raise LabError(
                f"{table.where(index, column)} is {cells[index]}, and a label must be a name or a whole number: "
                "is another column the label? write --label NAME or INDEX"
            )
    return np.array(numbers).astype(np.int64)
