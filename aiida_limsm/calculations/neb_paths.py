"""Migration paths as nodes: images, energies and forces in a TrajectoryData, and where from.

A path is a TrajectoryData whose steps are the images; the arrays ``energies_ev``, shape (K,), and
``forces_ev_per_angstrom``, shape (K, N, 3), are there where the images were evaluated.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_limsm.report.neb_paths import DFT, MethodPath, compare
from aiida_limsm.units import BOHR_TO_ANGSTROM, RYDBERG_TO_EV

__all__ = [
    "ENERGIES", "FORCES", "compare_paths", "dft_path", "draw_paths", "images_of",
    "interpolate_images", "join_images", "path_of", "select_image", "single_point_path",
]  # fmt: skip

ENERGIES = "energies_ev"
FORCES = "forces_ev_per_angstrom"
PATH_FILE = "aiida.path"


def images_of(path: orm.TrajectoryData) -> list[Any]:
    """Return the images as ASE atoms, without energies."""
    from ase import Atoms

    cells: Any = path.get_cells()
    return [
        Atoms(path.symbols, positions=positions, cell=cell, pbc=path.base.attributes.get("pbc"))
        for positions, cell in zip(path.get_positions(), cells, strict=True)
    ]


def path_of(images: Sequence[Any], energies: Any = None, forces: Any = None) -> orm.TrajectoryData:
    """Return images (ASE atoms) as a path node, unwrapped, with what is known of their energies."""
    from aiida_limsm.atomistic.band import unwrapped

    images = unwrapped(images)
    path = orm.TrajectoryData()
    path.set_trajectory(
        symbols=list(images[0].symbols),
        positions=np.array([image.positions for image in images]),
        stepids=np.arange(1, len(images) + 1),
        cells=np.array([image.cell.array for image in images]),
        pbc=[bool(flag) for flag in images[0].pbc],
    )
    if energies is not None:
        path.set_array(ENERGIES, np.asarray(energies, dtype=np.float64))
        path.set_array(FORCES, np.asarray(forces, dtype=np.float64))
    return path


def atoms_of(structure: orm.StructureData) -> Any:
    """Return a structure as ASE atoms.

    Raises
    ------
    ValueError
        For kinds that are not named as their element: a path node could not tell them apart.
    """
    if odd := sorted({kind.name for kind in structure.kinds if kind.name != kind.symbol}):
        raise ValueError(
            f"kinds {', '.join(odd)} are not named as their elements: paths with such kinds are "
            "not supported, name kinds as their elements"
        )
    return structure.get_ase()


@calcfunction
def join_images(initial: orm.StructureData, final: orm.StructureData) -> orm.TrajectoryData:
    """Return the path of two end points."""
    return path_of([atoms_of(initial), atoms_of(final)])


@calcfunction
def select_image(path: orm.TrajectoryData, number: orm.Int) -> orm.StructureData:
    """Return an image of a path as a structure; ``number`` counts from 0, -1 is the last."""
    return orm.StructureData(ase=images_of(path)[number.value])


@calcfunction
def interpolate_images(
    initial: orm.StructureData, final: orm.StructureData, n_images: orm.Int, method: orm.Str
) -> orm.TrajectoryData:
    """Return a path of ``n_images`` images (ends counted) between two structures.

    ``method`` is ``idpp`` or ``linear``, see :func:`aiida_limsm.atomistic.band.interpolate_band`.
    """
    from aiida_limsm.atomistic.band import interpolate_band

    kind: Any = method.value
    return path_of(interpolate_band(atoms_of(initial), atoms_of(final), n_images.value, kind))


@calcfunction
def dft_path(retrieved: orm.FolderData, images: orm.TrajectoryData) -> orm.TrajectoryData:
    """Return the last path of neb.x, also of a run that stopped early or did not converge.

    The restart file ``aiida.path`` is read, in which neb.x keeps energies, positions and gradients
    of all images (Hartree atomic units); of a run that stopped within an iteration it holds the
    energies of the iteration before for the images that were still to come.

    Parameters
    ----------
    retrieved
        Files of a NebCalculation.
    images
        Its input: order of atoms and cell.

    Raises
    ------
    ValueError
        There is no path file, or it is no path of these images.
    """
    try:
        text = retrieved.base.repository.get_object_content(PATH_FILE, "r")
    except OSError:
        raise ValueError(f"neb.x left no {PATH_FILE}: it stopped before its first step") from None
    template = images_of(images)[0]
    energies, positions, gradients = read_path_file(text, len(template))
    atoms = []
    for each in positions:
        image = template.copy()
        image.positions[:] = each * BOHR_TO_ANGSTROM
        atoms.append(image)
    hartree = 2 * RYDBERG_TO_EV
    return path_of(atoms, energies * hartree, -gradients * hartree / BOHR_TO_ANGSTROM)


def read_path_file(text: str, n_atoms: int) -> tuple[Any, Any, Any]:
    """Read energies (K,), positions and gradients (K, N, 3) of neb.x's restart file, atomic units.

    Raises
    ------
    ValueError
        The text is cut short or of another number of atoms.
    """
    lines = text.splitlines()
    starts = [k for k, line in enumerate(lines) if line.strip().startswith("Image:")]
    try:
        energies = np.array([float(lines[k + 1]) for k in starts])
        rows = np.array(
            [
                [[float(word) for word in lines[k + 2 + n].split()[:6]] for n in range(n_atoms)]
                for k in starts
            ]
        )
        if rows.shape != (len(starts), n_atoms, 6) or len(starts) < 2:
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(f"{PATH_FILE} is no whole path of {n_atoms} atoms") from None
    return energies, rows[:, :, :3], rows[:, :, 3:]


@calcfunction
def single_point_path(path: orm.TrajectoryData, **outputs: Any) -> orm.TrajectoryData:
    """Return a path with the energies and forces of pw.x on its images.

    Parameters
    ----------
    path
        The images.
    **outputs
        ``parameters_K`` and ``trajectory_K`` of pw.x (energy in eV, forces in eV/Å), K the number
        of the image from 0.
    """
    images = images_of(path)
    energies, forces = [], []
    for number in range(len(images)):
        energies.append(outputs[f"parameters_{number}"]["energy"])
        forces.append(outputs[f"trajectory_{number}"].get_array("forces")[-1])
    return path_of(images, energies, forces)


#: End points of two methods that are farther apart than this (Å) may be other minima.
OTHER_MINIMUM = 0.8


@calcfunction
def compare_paths(
    methods: orm.Dict, one_minimum: orm.List | None = None, **paths: orm.TrajectoryData
) -> orm.Dict:
    """Set the paths of several methods side by side.

    Parameters
    ----------
    methods
        For every path: whose energies, whose path, converged or not; see
        :class:`aiida_limsm.report.neb_paths.MethodPath`.
    one_minimum
        Methods that relaxed both end points into one minimum.
    **paths
        Evaluated paths.

    Returns
    -------
    Dict
        A :class:`aiida_limsm.report.neb_paths.PathComparison`: barriers both ways of every method
        and their differences from DFT in meV.
    """
    from aiida_limsm.atomistic.band import largest_displacement, profile_of
    from aiida_limsm.compute.neb_results import PathProfile

    found, warnings = [], []
    for name, values in methods.get_dict().items():
        path = paths[name]
        images = images_of(path)
        profile = profile_of(images, path.get_array(ENERGIES), path.get_array(FORCES))
        found.append(MethodPath(**values, profile=PathProfile.of(profile)))
        if DFT not in paths or found[-1].name != values["energies_of"]:
            continue
        theirs = images_of(paths[DFT])
        for end, k in (("initial", 0), ("final", -1)):
            if (apart := largest_displacement(theirs[k], images[k])) > OTHER_MINIMUM:
                warnings.append(
                    f"the {end} structure of {name} is {apart:.2f} Å from that of {DFT}: these may "
                    "be two different jumps"
                )
    comparison = compare(found).model_copy(
        update={
            "one_minimum": () if one_minimum is None else tuple(one_minimum.get_list()),
            "warnings": tuple(warnings),
        }
    )
    return orm.Dict(comparison.model_dump(mode="json"))


@calcfunction
def draw_paths(comparison: orm.Dict) -> orm.SinglefileData:
    """Draw the energies along the paths of a comparison as one figure (PNG)."""
    from aiida_limsm.report.figures.neb import neb_figure
    from aiida_limsm.report.figures.style import png_bytes
    from aiida_limsm.report.neb_paths import PathComparison

    paths = PathComparison.model_validate(comparison.get_dict()).ordered
    return orm.SinglefileData(io.BytesIO(png_bytes(neb_figure(paths))), filename="neb.png")
