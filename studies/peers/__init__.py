"""Other frameworks' gradients on one workload, each used as well as its users can: one file for each."""
