"""Keys of the DFT labels in extended XYZ frames, as MACE reads them."""

ENERGY_KEY = "REF_energy"
FORCES_KEY = "REF_forces"
STRESS_KEY = "REF_stress"
