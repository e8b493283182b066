"""What kernels are handed: addresses of a plan's tables, of a thread's room, and of a run's angles."""

from typing import Any, NamedTuple

from qml.native.compilation import inner
from qml.native.simd import address, shift


class Plan(NamedTuple):
    """Addresses of `plan.Tables`, by the same names, and how many rows some of them have."""

    tiles: Any
    stages: Any
    entries: Any
    cosets: Any
    bases: Any
    reads: Any
    lane_signs: Any
    places: Any
    tables: Any
    basis: Any
    lane_places: Any
    phases: Any
    groups: Any
    read_tables: Any
    read_places: Any
    read_lane_places: Any
    terms: Any
    term_coefficients: Any
    n_tiles: int
    n_stages: int
    n_turns: int
    n_tables: int
    n_phases: int
    n_groups: int
    n_read_tables: int
    n_terms: int


class Room(NamedTuple):
    """Addresses of what one thread works in; rows of lanes unless said otherwise.

    Attributes:
        tangents, sines: of each turn's shears. cos, sin: of each phase's half angle.
        real, imaginary, moments: by table row of the diagonals. weights: by table row of the observables.
        of_angles: derivatives by angle row. out: by observable. tile, bra_tile: gathered rows. scratch: one table.
        dense_moments: float64, by diagonal and row. offsets: int64, of a diagonal's tables.
        dense_real, dense_imaginary: by diagonal and row, one number each.
        n_table_rows, n_read_rows: rows of `moments` and of `weights`.
    """

    tangents: Any
    sines: Any
    cos: Any
    sin: Any
    real: Any
    imaginary: Any
    moments: Any
    weights: Any
    of_angles: Any
    out: Any
    tile: Any
    bra_tile: Any
    scratch: Any
    dense_moments: Any
    offsets: Any
    dense_real: Any
    dense_imaginary: Any
    n_table_rows: int
    n_read_rows: int
    n_angles: int
    n_observables: int


class Angles(NamedTuple):
    """Addresses of one run's angles.

    Attributes:
        own_rows: angle rows that differ between samples. shared_rows: the others.
        first, second: `angles.shears` of own rows, rows of `width`, and from `n_own * width` on those of shared ones.
        amplitudes: initial amplitudes by basis state and sample, of which there are n_amplitudes rows.
        start: the index of each basis state.
        width: samples, padded to whole vectors.
    """

    own_rows: Any
    shared_rows: Any
    first: Any
    second: Any
    amplitudes: Any
    start: Any
    width: int
    n_own: int
    n_shared: int
    n_amplitudes: int


@inner
def plan_at(integers, shapes, coefficients):
    """The plan that was packed in these arrays."""
    at = address(integers)
    return Plan(
        shift(at, shapes[0, 0]), shift(at, shapes[1, 0]), shift(at, shapes[2, 0]), shift(at, shapes[3, 0]),
        shift(at, shapes[4, 0]), shift(at, shapes[5, 0]), shift(at, shapes[6, 0]), shift(at, shapes[7, 0]),
        shift(at, shapes[8, 0]), shift(at, shapes[9, 0]), shift(at, shapes[10, 0]), shift(at, shapes[11, 0]),
        shift(at, shapes[12, 0]), shift(at, shapes[13, 0]), shift(at, shapes[14, 0]), shift(at, shapes[15, 0]),
        shift(at, shapes[16, 0]), address(coefficients),
        shapes[0, 1], shapes[1, 1], shapes[5, 1], shapes[8, 1], shapes[11, 1], shapes[12, 1], shapes[13, 1], shapes[16, 1],
    )  # fmt: skip


@inner
def room_at(floats, starts, rows, dense_moments, offsets, dense):
    """One thread's room: part k of `floats` starts at starts[k] and has rows[k] rows."""
    at = address(floats)
    return Room(
        shift(at, starts[0]), shift(at, starts[1]), shift(at, starts[2]), shift(at, starts[3]), shift(at, starts[4]),
        shift(at, starts[5]), shift(at, starts[6]), shift(at, starts[7]), shift(at, starts[8]), shift(at, starts[9]),
        shift(at, starts[10]), shift(at, starts[11]), shift(at, starts[12]),
        address(dense_moments), address(offsets), address(dense), shift(address(dense), dense.shape[0] // 2),
        rows[6], rows[7], rows[8], rows[9],
    )  # fmt: skip


@inner
def angles_at(own_rows, shared_rows, first, second, amplitudes, start, width):
    """A run's angles."""
    n_amplitudes = amplitudes.shape[0] // width if width else 0
    return Angles(
        address(own_rows), address(shared_rows), address(first), address(second), address(amplitudes), address(start),
        width, own_rows.shape[0], shared_rows.shape[0], n_amplitudes,
    )  # fmt: skip
