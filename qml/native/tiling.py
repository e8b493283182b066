"""Steps of a normal form shared out over tiles: which rows are swept together, and which turns at once."""

from dataclasses import dataclass, field

import numpy as np

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native.normal_form import NormalForm, Step, Turn
from qml.native.reads import ReadTable

TILE_BITS = 8  # rows of a gathered tile: with lambda's, 64 kB
DIRECT_BITS = 12  # rows up to which a state is swept whole


@dataclass
class Tile:
    """Rows that are swept together: the span of `flips`, which are independent whatever they do to lanes."""

    lane_bits: int
    most: int
    whole: bool
    span: ReadTable = field(default_factory=ReadTable)
    stages: list[list[int]] = field(default_factory=list)
    content: list = field(default_factory=list)

    def local(self, flip: int) -> tuple[int, int]:
        """(entry flip, lane shift) of a flip in the span."""
        chosen, rest = self.span.express(flip)
        return chosen, rest

    def takes(self, flip: int) -> bool:
        """Whether a turn with this flip stays inside the tile, which grows for it while there is room."""
        _, rest = self.span.express(flip)
        if rest >> self.lane_bits == 0:
            return True
        if len(self.span.basis) >= self.most:
            return False
        self.span.extend(flip)
        return True

    def fill(self, row_bits: int) -> None:
        """Rows of low index, so that a tile of few turns is still worth its gathering."""
        for bit in range(row_bits):
            self.takes(1 << self.lane_bits + bit)

    def entries(self) -> np.ndarray:
        """(2^k,): the index of each entry, from a base of 0."""
        indices = np.zeros(1, np.int64)
        for flip in self.span.basis:
            indices = np.concatenate([indices, indices ^ flip])
        return indices


def seen_steps(form: NormalForm, program: Program, sums: PauliSums) -> list[Step]:
    """The steps without phases that nothing sees: of |0...0> at the start, and of diagonal observables at the end."""
    steps = [Step(step.turns, step.phases) for step in form.steps]
    if not program.amplitudes and not steps[0].turns:
        steps[0].phases = []
    if len(sums.x) and not sums.x.any():
        steps[-1].phases = []
    return steps


def tiles_of(form: NormalForm, lane_bits: int, steps: list[Step]) -> list[Tile]:
    """The steps shared out over tiles; each takes the turns that it can, in an order that commutes."""
    row_bits = form.n_qubits - lane_bits
    whole = row_bits <= DIRECT_BITS
    most = row_bits if whole else TILE_BITS

    def opened() -> Tile:
        tile = Tile(lane_bits, most, whole)
        if whole:
            tile.fill(row_bits)
        tiles.append(tile)
        return tile

    tiles: list[Tile] = []
    tile = opened()
    for step in steps:
        remaining = step.turns
        while remaining:
            left: list[Turn] = []
            chosen = []
            for turn in remaining:
                if all(commute(turn, other) for other in left) and tile.takes(turn.flip):
                    chosen.append(turn)
                else:
                    left.append(turn)
            tile.content.extend(("turns", group) for group in _groups(chosen, tile))
            remaining = left
            if left:
                tile = opened()
        if step.phases:
            tile.content.append(("phases", step.phases))
    for tile in tiles:
        tile.fill(row_bits)
    return tiles


def commute(a: Turn, b: Turn) -> bool:
    """Whether two turns may change places."""
    return ((a.flip & b.read).bit_count() + (b.flip & a.read).bit_count()) % 2 == 0


def _groups(turns: list[Turn], tile: Tile) -> list[list[Turn]]:
    """Up to three turns each that do not flip one another's bits, on independent rows; a turn of lanes only is alone.

    A turn joins the earliest group that it can reach past turns it commutes with.
    """
    groups: list[list[Turn]] = []
    spans: list[ReadTable] = []
    for turn in turns:
        flip, _ = tile.local(turn.flip)
        place = len(groups)
        for k in reversed(range(len(groups))):
            if flip and _joins(turn, flip, groups[k], spans[k]):
                place = k
            if not all(commute(turn, other) for other in groups[k]):
                break
        if place == len(groups):
            groups.append([])
            spans.append(ReadTable())
        groups[place].append(turn)
        if flip:
            spans[place].extend(flip)
    return groups


def _joins(turn: Turn, flip: int, group: list[Turn], span: ReadTable) -> bool:
    is_open = len(group) < 3 and bool(span.basis) and bool(span.express(flip)[1])
    return is_open and all(_independent(turn, other) for other in group)


def _independent(a: Turn, b: Turn) -> bool:
    return (a.flip & b.read).bit_count() % 2 == 0 and (b.flip & a.read).bit_count() % 2 == 0
