"""Our backends as PennyLane devices, one file each; `base.py` holds the contract.

They are found by name, `qp.device("qml.native", wires=4)`, through the entry points of the distribution.
"""
