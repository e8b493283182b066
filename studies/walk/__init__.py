"""Second moments of gradients without a state vector: Pauli strings that walk back through the circuit.

A random rotation by an angle that is symmetric about 0 either leaves a string that anticommutes with its generator or
turns it, and no cross term of the two survives the average. So the mean square of an expectation value is an average over
walks, and that of every derivative is read off the same walks. `table` lowers a circuit to what strings meet on their way
back, `walks` samples with 64 walks in each machine word, `merging` adds up all walks at once where they are few, `means`
follows the one path that survives the average of the value itself, `estimate` puts them together.

Source: arXiv:2302.04649, arXiv:2505.21606; for sums of strings, the product of two strings is conserved by every rotation
(see `estimate`).
"""
