"""Dynamical Lie algebras of circuits: what their generators span, how it splits, what it says about the loss.

The generators of a circuit's rotations span, with all their nested commutators, the circuit's dynamical Lie algebra g.
`strings` closes single Pauli strings, whose algebra is spanned by strings; `sums` closes linear combinations of them,
exactly; `ideals` splits an algebra of strings into its centre and simple ideals; `prediction` gives the variance of the
loss in a deep circuit; `families` holds the published algebras of spin chains.

An algebra is written by its Hermitian elements H, that is i H is meant, and dimensions are over the real numbers.
"""
