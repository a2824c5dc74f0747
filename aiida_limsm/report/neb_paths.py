"""Methods side by side on one migration path: plain numbers, and their differences from DFT."""

from __future__ import annotations

from collections.abc import Iterable

from aiida_limsm.compute.base import LimsmModel
from aiida_limsm.compute.neb_results import PathProfile

__all__ = ["DFT", "Difference", "MethodPath", "PathComparison", "compare"]

DFT = "dft"


class MethodPath(LimsmModel):
    """One method on one path.

    ``energies_of`` and ``path_of`` name the potentials (``dft`` or a label) that gave the energies
    and that relaxed the images; where they differ the energies are single points. ``converged`` is
    None for these, and False where the path is that of an unfinished relaxation.
    """

    energies_of: str
    path_of: str
    converged: bool | None = None
    profile: PathProfile

    @property
    def name(self) -> str:
        """Name in tables and legends."""
        if self.energies_of == self.path_of:
            return self.energies_of
        return f"{self.energies_of} on the path of {self.path_of}"


class Difference(LimsmModel):
    """Barriers of a method minus those of DFT, meV. Methods are named as in the comparison."""

    method: str
    reference: str
    forward_mev: float
    backward_mev: float
    reaction_mev: float


class PathComparison(LimsmModel):
    """One migration path by several methods, with the differences from DFT.

    ``one_minimum`` names the methods that relax both end points into one minimum: they have no
    barrier between them. ``warnings`` say what a reader of the differences must know.
    """

    methods: dict[str, MethodPath]
    differences: tuple[Difference, ...] = ()
    one_minimum: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ordered(self) -> list[MethodPath]:
        """DFT, potentials on their own paths, then energies on the path of another."""
        return sorted(self.methods.values(), key=_order)


def _order(path: MethodPath) -> tuple[bool, bool, str, str]:
    other = path.energies_of != path.path_of
    return other, path.energies_of != DFT, path.energies_of, path.path_of


def compare(paths: Iterable[MethodPath]) -> PathComparison:
    """Set methods side by side and take differences from DFT.

    A potential on its own path is compared with DFT on DFT's path (what a user of the potential
    gets wrong) and with DFT single points on the potential's path (the energies alone); energies of
    a potential on the path of DFT with those of DFT.
    """
    paths = sorted(paths, key=_order)
    methods = {path.name: path for path in paths}
    differences = []
    for path in paths:
        if path.energies_of == DFT:
            continue
        for other in paths:
            own_path_of_each = path.path_of == path.energies_of and other.path_of == DFT
            same_path = path.path_of == other.path_of
            if other.energies_of == DFT and (own_path_of_each or same_path):
                mine, theirs = path.profile, other.profile
                differences.append(
                    Difference(
                        method=path.name,
                        reference=other.name,
                        forward_mev=1e3 * (mine.barrier_forward_ev - theirs.barrier_forward_ev),
                        backward_mev=1e3 * (mine.barrier_backward_ev - theirs.barrier_backward_ev),
                        reaction_mev=1e3 * (mine.reaction_energy_ev - theirs.reaction_energy_ev),
                    )
                )
    return PathComparison(methods=methods, differences=tuple(differences))
