"""The native engine as Qiskit primitives, and its gradients for qiskit-machine-learning."""
