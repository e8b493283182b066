"""The batched state-vector engine: CPU kernels, and nothing else."""
