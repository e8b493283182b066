"""Computed algebras beside the published ones, family by family."""

from dataclasses import dataclass

from studies.lie.families import Published, chain_family, sum_family
from studies.lie.ideals import Algebra
from studies.lie.sums import closure_of_sums


def chain_rows(family: str, sizes: list[int]) -> list[dict]:
    """Of the open and of the closed chain: dimensions, dimensions of the centre and of the simple ideals, by size."""
    rows = []
    for chain in ("open", "closed"):
        found = [Algebra.of(chain_family(family).generators(n, chain == "closed")) for n in sizes]
        rows.append(
            {
                "chain": chain,
                "dimensions": [algebra.dimension for algebra in found],
                "centres": [len(algebra.centre) for algebra in found],
                "ideals": [algebra.ideals for algebra in found],
            }
        )
    return rows


def sum_rows(family: str, sizes: list[int]) -> list[dict]:
    """Dimensions by size."""
    return [{"dimensions": [closure_of_sums(sum_family(family).generators(n)).dimension for n in sizes]}]


@dataclass(frozen=True)
class Comparison:
    """The algebras of one family by size, and what was published of them.

    Attributes:
        formula: what was published, in words.
        known: how many of the sizes it speaks of.
        agrees: whether there it gives the dimension found and, for chains, the centre and the simple ideals.
    """

    name: str
    formula: str
    sizes: list[int]
    dimensions: list[int]
    known: int
    agrees: bool


def compared(rows: list[dict]) -> list[Comparison]:
    """One record for each of the rows of `chain_rows` and `sum_rows`, with "family" and "qubits" in them."""
    return [_of_chain(row) if row["part"] == "chain" else _of_sum(row) for row in rows if row["part"] in ("chain", "sum")]


def _of_chain(row: dict) -> Comparison:
    family = chain_family(row["family"])
    laws = [family.published(n, row["chain"] == "closed") for n in row["qubits"]]
    found = zip(row["dimensions"], row["centres"], row["ideals"])
    agrees = all(law is None or _facts(law) == here for law, here in zip(laws, found))
    return Comparison(
        f"{row['family']}, {row['chain']}",
        ", ".join(str(law or "-") for law in laws),
        row["qubits"],
        row["dimensions"],
        sum(law is not None for law in laws),
        agrees,
    )


def _facts(law: Published) -> tuple[int, int, list[int]]:
    return law.dimension, law.centre, law.ideals


def _of_sum(row: dict) -> Comparison:
    family = sum_family(row["family"])
    laws = [family.published(n) for n in row["qubits"]]
    known = [(law, found) for law, found in zip(laws, row["dimensions"]) if law is not None]
    agrees = all(law == found for law, found in known)
    return Comparison(row["family"], family.formula, row["qubits"], row["dimensions"], len(known), agrees)
