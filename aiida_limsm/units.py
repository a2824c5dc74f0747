"""Conversion factors between the units of Quantum ESPRESSO, ASE/MACE and this package.

Package units: Å, fs for time steps, ps for lags and lengths, eV, eV/Å, eV/Å³ for stress (ASE's
sign: tension positive), K, cm²/s for diffusion coefficients. Values: CODATA 2018.
"""

from __future__ import annotations

from typing import Final

BOHR_TO_ANGSTROM: Final = 0.529177210903
RYDBERG_TO_EV: Final = 13.605693122994
#: Rydberg atomic unit of time (pw.x's ``dt``): ħ/Ry.
RYDBERG_TIME_TO_FS: Final = 0.048377686531714
#: Pressure; Quantum ESPRESSO prints compression positive, so a stress also changes its sign.
GPA_TO_EV_PER_ANGSTROM3: Final = 1.0 / 160.21766208
#: 1 Å²/ps = 1e-16 cm² / 1e-12 s.
ANGSTROM2_PER_PS_TO_CM2_PER_S: Final = 1.0e-4
CM2_PER_S_TO_M2_PER_S: Final = 1.0e-4
BOLTZMANN_EV_PER_K: Final = 8.617333262e-5
#: Force / mass to acceleration: 1 eV/(Å u) in Å/fs².
EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2: Final = 9.648533212331e-3
#: Bohr per Rydberg atomic unit of time (pw.x's ATOMIC_VELOCITIES) in Å/fs.
RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS: Final = BOHR_TO_ANGSTROM / RYDBERG_TIME_TO_FS
#: Atomic mass unit in Rydberg atomic units of mass (twice the electron's).
U_TO_RYDBERG_MASS: Final = 1822.888486209 / 2.0
