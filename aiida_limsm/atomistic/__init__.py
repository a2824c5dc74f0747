"""What runs on atoms: potentials, MD, evaluation, crystal builders (ASE and torch live here)."""
