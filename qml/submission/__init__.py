"""Submitted circuits: requests, the threads and processes that run them, sweeps, reports, workers that outlive a command."""
