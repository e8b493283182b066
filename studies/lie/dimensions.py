"""Computed dimensions beside published ones, family by family."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dimensions:
    """The algebras of one family by size, and what was published of them.

    Attributes:
        found, published: dimensions, published ones None where nothing is known.
        agrees: whether every published dimension, and every published number and size of ideals, is the one found.
    """

    name: str
    formula: str
    sizes: list[int]
    found: list[int]
    published: list[int | None]
    agrees: bool


def dimensions(rows: list[dict]) -> list[Dimensions]:
    """One record for each family and chain."""
    from studies.lie.families import chain_family, sum_family

    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["part"] in ("chain", "sum"):
            groups.setdefault((row["part"], row["family"], row.get("chain", "")), []).append(row)
    records = []
    for (part, name, chain), mine in groups.items():
        sizes, found = [row["n"] for row in mine], [row["dimension"] for row in mine]
        if part == "sum":
            family = sum_family(name)
            published, formula = [family.published(n) for n in sizes], family.formula
            agrees = all(there in (None, here) for there, here in zip(published, found))
        else:
            laws = [chain_family(name).published(n, chain == "closed") for n in sizes]
            published, formula = [law and law.dimension for law in laws], ", ".join(str(law or "-") for law in laws)
            agrees = all(law is None or _same(law, row) for law, row in zip(laws, mine))
            name = f"{name}, {chain}"
        records.append(Dimensions(name, formula, sizes, found, published, agrees))
    return records


def _same(law, row: dict) -> bool:
    return law.dimension == row["dimension"] and (law.centre, law.ideals) == (row["centre"], row["ideals"])


def sentence(records: list[Dimensions]) -> str:
    """Whether they are the published ones."""
    known = sum(value is not None for one in records for value in one.published)
    wrong = [one.name for one in records if not one.agrees]
    if wrong:
        return f"Of {known} published algebras some are NOT found as published: {'; '.join(wrong)}."
    return f"All {known} algebras with a published formula are found as published."
