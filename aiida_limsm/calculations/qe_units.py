"""Energies that aiida-quantumespresso parsed, in this package's electronvolt.

Its Rydberg is that of CODATA 2006: energies are 1.0e-7 smaller in size. That is 4 µeV per atom for
lithium silicides, and above 1 meV per atom for heavy elements with semicore electrons: frames of
an MD, single points and isolated atoms must share one energy zero.
"""

from __future__ import annotations

from typing import Final

from qe_tools import CONSTANTS

from aiida_limsm.units import RYDBERG_TO_EV

ENERGY_FACTOR: Final = RYDBERG_TO_EV / float(CONSTANTS.ry_to_ev)
