"""Whole runs of dual states: derivatives of expectation values, and of their gradients, along directions of the angles."""

from qml.native.blocks import (
    clear,
    fill_own,
    lambda_of_observables,
    of_amplitudes,
    read_cotangents,
    start,
    write_derivatives,
    write_values,
)
from qml.native.compilation import inner, jit
from qml.native.context import angles_at, plan_at, room_at
from qml.native.dual_diagonals import fill_slopes
from qml.native.dual_sweeps import backward_tile, forward_tile
from qml.native.pauli_kernels import add_cross_moments
from qml.native.plan import TABLE_COLUMNS
from qml.native.simd import address, equal_lanes, load, shift, store


@inner
def _fill_rates(plan, room, angles, rates, at, lanes, lane_bits, turn_rates, slopes):
    """Rates of turns, with the lanes' signs, and the tables of slopes, of one block of samples or one sample.

    The rates of phases pass through the room's derivatives, which are not in use yet.
    """
    for k in range(angles.n_own):
        row = angles.own_rows[k]
        if lane_bits:
            rate = equal_lanes(turn_rates, rates[k * angles.width + at])
        else:
            rate = load(rates, k * angles.width + at)
        store(room.of_angles, row * lanes, rate)
    for row in range(plan.n_turns):
        store(turn_rates, row * lanes, load(room.of_angles, row * lanes))
        if lane_bits:
            for k in range(row * lanes, row * lanes + lanes):
                turn_rates[k] = turn_rates[k] * plan.lane_signs[k]
    of_phases = shift(room.of_angles, plan.n_turns * lanes)
    for t in range(plan.n_tables):
        lane_places = shift(plan.lane_places, t * lanes)
        table = shift(plan.tables, t * TABLE_COLUMNS)
        fill_slopes(table, plan.phases, plan.n_turns, of_phases, slopes, lanes, lane_bits, lane_places, room.scratch)


@inner
def _forward(
    state, derivative, tiles, turn_rates, slopes, n_rows, plan, room, angles, rates, start_rates, at, lanes, lane_bits
):
    """A state and its derivative, from the start through every tile."""
    fill_own(plan, room, angles, at, lanes, lane_bits)
    _fill_rates(plan, room, angles, rates, at, lanes, lane_bits, turn_rates, slopes)
    start(state, n_rows, angles, at, lanes, lane_bits)
    clear(derivative, 2 * n_rows, lanes)
    for k in range(angles.n_amplitudes):
        if lane_bits:
            index = angles.start[k]
            derivative[(index >> lane_bits) * 2 * lanes + (index & (lanes - 1))] = start_rates[k * angles.width + at]
        else:
            store(derivative, k * 2 * lanes, load(start_rates, k * angles.width + at))
    for number in range(plan.n_tiles):
        forward_tile(state, derivative, tiles, turn_rates, slopes, plan, room, number, lanes, lane_bits)


@inner
def _write_growth(state, derivative, plan, room, n_rows, at, lanes, lane_bits, values):
    """Rows of the derivatives of expectation values."""
    clear(room.weights, room.n_read_rows, lanes)
    add_cross_moments(
        state, derivative, 0, n_rows, lanes, lane_bits, plan.groups, plan.n_groups, plan.read_tables, plan.read_places,
        room.weights,
    )  # fmt: skip
    write_values(plan, room, at, lanes, lane_bits, values)


@jit
def second_of_blocks(
    first, last, states, tiles, turn_rates, slopes, n_rows, integers, shapes, coefficients, floats, starts, rows,
    dense_moments, offsets, dense, own_rows, shared_rows, first_shears, second_shears, amplitudes, start_index, width,
    lanes, lane_bits, rates, start_rates, cotangents, growth, of_own, of_start,
):  # fmt: skip
    """How values and gradients of blocks first to last of samples grow along a direction.

    Args:
        states: room for four of them. tiles: room to gather four. turn_rates, slopes: by turn and by table row.
        rates, start_rates: of own angle rows and of amplitudes, rows of `width`.
        growth: (B, K), of expectation values. of_own, of_start: of derivatives, by own angle row and by amplitude.
        The others are as in `blocks`.
    """
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start_index, width)
    size, at_states, at_tiles = 2 * n_rows * lanes, address(states), address(tiles)
    four = at_states, shift(at_states, size), shift(at_states, 2 * size), shift(at_states, 3 * size)
    none = dense_moments[:0]
    for block in range(first, last):
        at = block if lane_bits else block * lanes
        _forward(
            four[0], four[1], at_tiles, address(turn_rates), address(slopes), n_rows, plan, room, angles,
            address(rates), address(start_rates), at, lanes, lane_bits,
        )  # fmt: skip
        _write_growth(four[0], four[1], plan, room, n_rows, at, lanes, lane_bits, growth)
        read_cotangents(plan, room, at, lanes, lane_bits, cotangents)
        lambda_of_observables(four[0], four[2], plan, room, 0, n_rows, lanes, lane_bits)
        lambda_of_observables(four[1], four[3], plan, room, 0, n_rows, lanes, lane_bits)
        clear(room.moments, room.n_table_rows, lanes)
        clear(room.of_angles, room.n_angles, lanes)
        for k in range(plan.n_tiles):
            number = plan.n_tiles - 1 - k
            backward_tile(four, at_tiles, address(turn_rates), address(slopes), plan, room, number, lanes, lane_bits)
        write_derivatives(plan, room, angles, at, lanes, lane_bits, address(of_own), none)
        of_amplitudes(four[3], angles, at, lanes, lane_bits, address(of_start))


@jit
def tangents_of_blocks(
    first, last, states, tiles, turn_rates, slopes, n_rows, integers, shapes, coefficients, floats, starts, rows,
    dense_moments, offsets, dense, own_rows, shared_rows, first_shears, second_shears, amplitudes, start_index, width,
    lanes, lane_bits, rates, start_rates, out,
):  # fmt: skip
    """Final states and their derivatives of blocks first to last: `out` holds both of each block, one after the other."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start_index, width)
    size = 2 * n_rows * lanes
    for block in range(first, last):
        at = block if lane_bits else block * lanes
        state = shift(address(out), 2 * size * block)
        _forward(
            state, shift(state, size), address(tiles), address(turn_rates), address(slopes), n_rows, plan, room, angles,
            address(rates), address(start_rates), at, lanes, lane_bits,
        )  # fmt: skip
