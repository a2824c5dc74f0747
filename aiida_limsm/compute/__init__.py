"""What runs on the compute node: the `limsm` command and the contract with AiiDA."""
