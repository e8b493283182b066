"""Steps of one state's run, each on a part of its cosets or rows, for threads that share the state.

All begin with the arrays of `context.plan_at`, `room_at` and `angles_at`, then lanes and lane_bits.
"""

from qml.native.blocks import (
    clear,
    fill_own,
    lambda_of_observables,
    moments_of_observables,
    of_amplitudes,
    read_cotangents,
    write_derivatives,
    write_values,
)
from qml.native.blocks import (
    start as start_state,
)
from qml.native.compilation import jit
from qml.native.context import angles_at, plan_at, room_at
from qml.native.simd import address
from qml.native.sweeps import backward_tile, forward_tile


@jit
def begin(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, sample,
):  # fmt: skip
    """A part's angles, and its sums at zero."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width)
    fill_own(plan, room, angles, sample, lanes, lane_bits)
    clear(room.weights, room.n_read_rows, lanes)
    clear(room.moments, room.n_table_rows, lanes)
    clear(room.of_angles, room.n_angles, lanes)


@jit
def initial(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, sample, state,
):  # fmt: skip
    """The whole initial state."""
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width)
    start_state(address(state), state.shape[0] // (2 * lanes), angles, sample, lanes, lane_bits)


@jit
def tile_forward(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits,
    number, first, last, state,
):  # fmt: skip
    """A tile's cosets first to last."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    forward_tile(address(state), plan, room, number, first, last, lanes, lane_bits)


@jit
def tile_backward(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits,
    number, first, last, state, bra,
):  # fmt: skip
    """A tile's cosets first to last, back."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    backward_tile(address(state), address(bra), plan, room, number, first, last, lanes, lane_bits)


@jit
def observe(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, first, last, state,
):  # fmt: skip
    """Rows first to last added to the observables' moments."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    moments_of_observables(address(state), plan, room, first, last, lanes, lane_bits)


@jit
def values(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, sample, out,
):  # fmt: skip
    """The sample's row of expectation values, from moments that are added up."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    write_values(plan, room, sample, lanes, lane_bits, out)


@jit
def cotangents(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, sample, given,
):  # fmt: skip
    """The observables' weights."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    read_cotangents(plan, room, sample, lanes, lane_bits, given)


@jit
def lambda_rows(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, first, last, state, bra,
):  # fmt: skip
    """Rows first to last of lambda."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    lambda_of_observables(address(state), address(bra), plan, room, first, last, lanes, lane_bits)


@jit
def derivatives(
    integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits,
    sample, bra, of_own, of_shared, of_start,
):  # fmt: skip
    """The sample's derivatives, from sums that are added up."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width)
    write_derivatives(plan, room, angles, sample, lanes, lane_bits, address(of_own), of_shared)
    of_amplitudes(address(bra), angles, sample, lanes, lane_bits, address(of_start))
