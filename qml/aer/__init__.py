"""Programs on Qiskit Aer: as circuits with one angle a gate, and as one circuit for a whole batch with its adjoint."""
