"""One training step in each system that can take it on a GPU: one file a system."""
