"""Parser of ``limsm.neb``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida_limsm.calculations.neb_paths import path_of
from aiida_limsm.compute.neb_results import NebResults

from .base import LimsmParser


class MlffNebParser(LimsmParser):
    """Makes a path node of the images."""

    RESULTS_MODEL = NebResults

    def attach(self, results: NebResults, folder: Path | None) -> None:
        """Attach ``path``, also of a band that did not converge."""
        import ase.io

        if results.path_file is None or folder is None:
            return
        if not (folder / results.path_file).is_file():
            raise ValueError(f"{results.path_file} does not exist")
        try:
            images: Any = ase.io.read(folder / results.path_file, index=":")
        except Exception as error:  # ASE's readers raise anything
            raise ValueError(f"{results.path_file} cannot be read: {error}") from error
        if len(images) != results.n_images:
            raise ValueError(
                f"{results.path_file} holds {len(images)} of {results.n_images} images"
            )
        if any(image.calc is None for image in images):
            self.out("path", path_of(images))
            return
        energies = [image.get_potential_energy() for image in images]
        self.out("path", path_of(images, energies, [image.get_forces() for image in images]))
