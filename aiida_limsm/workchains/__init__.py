"""The workchains: from a crystal structure to D(T), every step a node."""
