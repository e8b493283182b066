"""Numbers on plateaus that tutorials and other projects publish, each with a way to compute it again.

`base.py` says what a claim is; every other file holds the claims of one source and recomputes them, but for `projector`,
which is the circuit that two tutorials share.
"""
