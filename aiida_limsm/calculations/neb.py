"""CalcJob ``limsm.neb``: a migration path with a potential."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.folders import Folder

from aiida_limsm.compute.neb_inputs import NebInput
from aiida_limsm.data.potential import PotentialData

from .base import JobFiles, LimsmCalculation
from .neb_paths import images_of


class MlffNebCalculation(LimsmCalculation):
    """Runs ``limsm neb``: relaxes end points and band, or gives the energies of the images."""

    JOB_NAME = "neb"
    INPUT_MODEL = NebInput
    NODES = ("potential", "images")
    RESTART_FILES = ("checkpoint.npz",)

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="The force field.")
        spec.input(
            "images",
            valid_type=orm.TrajectoryData,
            help="The two end points, or all images to start from.",
        )
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            default=lambda: orm.Dict({}),
            help="Fields of the job's input model.",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.neb"
        spec.output(
            "path",
            valid_type=orm.TrajectoryData,
            help="Images with the arrays energies_ev and forces_ev_per_angstrom.",
        )

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Check that the images are a path of elements that the potential knows."""
        from aiida_limsm.atomistic.band import check_images

        inputs["potential"].check_elements(inputs["images"].symbols)
        given = inputs["parameters"].get_dict()
        fields = NebInput.model_fields
        limit, order = (
            given.get(name, fields[name].default)
            for name in ("max_displacement_angstrom", "check_order")
        )
        check_images(
            images_of(inputs["images"]), max_displacement_angstrom=limit, check_order=order
        )
        return {"potential_file": "potential.model", "structure_files": ("images.extxyz",)}

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Write the images and copy the model."""
        import ase.io

        buffer = io.StringIO()
        ase.io.write(buffer, images_of(self.inputs.images), format="extxyz")
        with folder.open("images.extxyz", "w") as handle:
            handle.write(buffer.getvalue())
        files.copy(self.inputs.potential, self.inputs.potential.filename, "potential.model")
        files.retrieve_temporary.append("path.extxyz")
