"""The native engine on a GPU: a circuit as a table of turns and phases that Triton kernels interpret at run time."""
