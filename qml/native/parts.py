"""Steps of one state's run, each on a part of its cosets or rows, for threads that share the state.

The first three arguments are tuples of the arguments of `context.plan_at`, `room_at` and `angles_at`, the last one followed
by lanes and lane_bits.
"""

from qml.native import blocks
from qml.native.compilation import jit
from qml.native.context import angles_at, plan_at, room_at
from qml.native.simd import address
from qml.native.sweeps import backward_tile, forward_tile


@jit
def begin(packed, own, run, sample):
    """A part's angles, and its sums at zero."""
    plan, room, angles = plan_at(*packed), room_at(*own), angles_at(*run[:7])
    lanes, lane_bits = run[7:]
    blocks.fill_own(plan, room, angles, sample, lanes, lane_bits)
    blocks.clear(room.weights, room.n_read_rows, lanes)
    blocks.clear(room.moments, room.n_table_rows, lanes)
    blocks.clear(room.of_angles, room.n_angles, lanes)


@jit
def initial(packed, own, run, sample, state):
    """The whole initial state."""
    lanes, lane_bits = run[7:]
    blocks.start(address(state), state.shape[0] // (2 * lanes), angles_at(*run[:7]), sample, lanes, lane_bits)


@jit
def tile_forward(packed, own, run, number, first, last, state):
    """A tile's cosets first to last."""
    lanes, lane_bits = run[7:]
    forward_tile(address(state), plan_at(*packed), room_at(*own), number, first, last, lanes, lane_bits)


@jit
def tile_backward(packed, own, run, number, first, last, state, bra):
    """A tile's cosets first to last, back."""
    lanes, lane_bits = run[7:]
    backward_tile(address(state), address(bra), plan_at(*packed), room_at(*own), number, first, last, lanes, lane_bits)


@jit
def observe(packed, own, run, first, last, state):
    """Rows first to last added to the observables' moments."""
    lanes, lane_bits = run[7:]
    blocks.moments_of_observables(address(state), plan_at(*packed), room_at(*own), first, last, lanes, lane_bits)


@jit
def values(packed, own, run, sample, out):
    """The sample's row of expectation values, from moments that are added up."""
    lanes, lane_bits = run[7:]
    blocks.write_values(plan_at(*packed), room_at(*own), sample, lanes, lane_bits, out)


@jit
def cotangents(packed, own, run, sample, given):
    """The observables' weights."""
    lanes, lane_bits = run[7:]
    blocks.read_cotangents(plan_at(*packed), room_at(*own), sample, lanes, lane_bits, given)


@jit
def lambda_rows(packed, own, run, first, last, state, bra):
    """Rows first to last of lambda."""
    plan, room = plan_at(*packed), room_at(*own)
    lanes, lane_bits = run[7:]
    blocks.lambda_of_observables(address(state), address(bra), plan, room, first, last, lanes, lane_bits)


@jit
def derivatives(packed, own, run, sample, bra, of_own, of_shared, of_start):
    """The sample's derivatives, from sums that are added up."""
    plan, room, angles = plan_at(*packed), room_at(*own), angles_at(*run[:7])
    lanes, lane_bits = run[7:]
    blocks.write_derivatives(plan, room, angles, sample, lanes, lane_bits, address(of_own), of_shared)
    blocks.of_amplitudes(address(bra), angles, sample, lanes, lane_bits, address(of_start))
