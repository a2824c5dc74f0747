import numpy as np
import pytest
from ase import Atoms

TRICLINIC = np.array([[5.0, 0, 0], [2.2, 5.0, 0], [-1.5, 1.9, 6.0]])


@pytest.fixture
def triclinic():
    return TRICLINIC.copy()


@pytest.fixture
def walk():
    """Random walks (n, atoms, 3), Å, that leave the cell."""

    def make(n=60, atoms=4, step=0.5, seed=0):
        random = np.random.default_rng(seed)
        return 1.0 + np.cumsum(step * random.uniform(-1, 1, size=(n, atoms, 3)), axis=0)

    return make


@pytest.fixture
def structures():
    """ASE structures of positions (n, 4, 3)."""

    def make(x, cell=TRICLINIC, wrap=False):
        made = []
        for positions in x:
            atoms = Atoms("Li3Si", positions=positions, cell=cell, pbc=True)
            if wrap:
                atoms.wrap()
            made.append(atoms)
        return made

    return make
