"""Published numbers that measured ones are held against, each with its source."""

# Sim, Johnson, Aspuru-Guzik, arXiv:1905.10876: circuits 1 to 15 by number of layers, four qubits, 5000 pairs, 75 bins, as
# the tests of the package qml-essentials attribute them to the paper.
SIM_SETTING = {"n_qubits": 4, "pairs": 5000, "bins": 75}
SIM_KL = {
    1: (.2999, .2860, .2396, .1343, .0602, .0043, .0977, .0858, .6773, .2286, .1312, .1984, .0516, .0144, .1892),
    3: (.2079, .0084, .0403, .0107, .0030, .0039, .0162, .0122, .0322, .1297, .0038, .0089, .0049, .0035, .1152),
}  # fmt: skip
SIM_Q = {
    1: (.0, .8104, .3412, .4721, .4090, .7781, .3241, .3926, 1.0, .5362, .7335, .6486, .6077, .6604, .8184),
    3: (.0, .8657, .5852, .6607, .7953, .8721, .6194, .6567, 1.0, .7865, .8288, .7838, .8224, .8557, .8734),
}  # fmt: skip

# Abbas, Sutter, Zoufal, Lucchi, Figalli, Woerner, Nat. Comput. Sci. 1, 403 (2021), Fig. 3a: effective dimension over number
# of parameters, from the source data in the authors' repository amyami187/effective_dimension, commit 5d9a9b6.
# The classical one is called 4-4-4-2 there; its data have 28 parameters and come from units 4, 4, 2, 2.
ABBAS_SIZES = (1000, 2000, 8000, 10_000, 40_000, 60_000, 100_000, 150_000, 200_000, 500_000, 1_000_000)
ABBAS_DIMENSIONS = {
    "quantum": (.82106, .83103, .85810, .86238, .88596, .89177, .89842, .90322, .90639, .91533, .92109),
    "easy quantum": (.67437, .68330, .71292, .71824, .75114, .76033, .77145, .77990, .78567, .80284, .81460),
    "classical 4-4-2-2": (.51430, .51938, .53826, .54183, .56478, .57136, .57936, .58544, .58960, .60198, .61056),
}  # fmt: skip

# The same, Fig. 3b: mean loss over 100 trials by iteration, and its standard deviation at the 100th.
ABBAS_LOSSES = {
    "quantum": {1: .637, 10: .369, 34: .266, 50: .247, 100: .231},
    "easy quantum": {1: .705, 10: .562, 34: .454, 50: .437, 100: .431},
    "classical": {1: .694, 10: .592, 34: .429, 50: .419, 100: .379},
}  # fmt: skip
ABBAS_LOSS_SPREADS = {"quantum": .0038, "easy quantum": .031, "classical": .105}


def sim(values: dict[int, tuple[float, ...]], circuit: int, n_layers: int) -> float | None:
    """One of Sim's values, None where nothing is published."""
    row = values.get(n_layers, ())
    return row[circuit - 1] if 1 <= circuit <= len(row) else None
