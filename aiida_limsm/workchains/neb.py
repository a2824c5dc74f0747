"""NebComparisonWorkChain: one migration path by DFT and by potentials, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChain, if_
from aiida.plugins import WorkflowFactory

from aiida_limsm.atomistic.band import collapsed
from aiida_limsm.calculations.kpoints import kpoints_mesh
from aiida_limsm.calculations.neb import MlffNebCalculation
from aiida_limsm.calculations.neb_paths import (
    ENERGIES,
    compare_paths,
    draw_paths,
    interpolate_images,
    join_images,
    select_image,
    single_point_path,
)
from aiida_limsm.compute.base import Status
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.report.neb_paths import DFT

from ._neb_inputs import fill_builder, validate_neb
from ._protocol import LimsmProtocolMixin, recursive_merge, run_calcfunction
from .label import failure_reason
from .neb_dft import DftNebWorkChain, band_inputs
from .neb_mlff import MlffNebWorkChain

PwBaseWorkChain: Any = WorkflowFactory("quantumespresso.pw.base")


class NebComparisonWorkChain(LimsmProtocolMixin, WorkChain):
    """The barrier of one jump three ways: DFT, foundation model, fine-tuned model.

    Every method relaxes the end points itself, so that each path is the method's own. Potentials
    also give energies on the path of DFT, and DFT on the paths of potentials (``single_points``),
    which compares energies alone. What fails is said and left out; the rest is compared.
    """

    PROTOCOL_NAME = "neb"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input("initial", valid_type=orm.StructureData, required=False)
        spec.input("final", valid_type=orm.StructureData, required=False)
        spec.input(
            "images",
            valid_type=orm.TrajectoryData,
            required=False,
            help="A whole band to start from, in place of initial and final.",
        )
        spec.input("n_images", valid_type=orm.Int, default=lambda: orm.Int(7), help="With ends.")
        spec.input("relax_ends", valid_type=orm.Bool, default=lambda: orm.Bool(True))
        spec.input_namespace(
            "potentials", valid_type=PotentialData, dynamic=True, required=False, help="By label."
        )
        spec.input(
            "heads", valid_type=orm.Dict, required=False, help="Head by label, where there are more"
        )
        spec.expose_inputs(
            MlffNebCalculation,
            namespace="mlff",
            exclude=("potential", "images", "parent_folder"),
            namespace_options={"required": False, "populate_defaults": False},
        )
        spec.expose_inputs(
            PwBaseWorkChain,
            namespace="base",
            exclude=("clean_workdir", "max_iterations", "pw.structure", "pw.parent_folder"),
            namespace_options={"required": False, "populate_defaults": False},
        )
        spec.input("neb_code", valid_type=orm.AbstractCode, required=False, help="neb.x")
        spec.input("path", valid_type=orm.Dict, default=lambda: orm.Dict({}), help="PATH of neb.x")
        spec.input("kpoints_offset", valid_type=orm.List, required=False)
        spec.input(
            "dft",
            valid_type=orm.Str,
            default=lambda: orm.Str("neb"),
            help="neb; single_points (on the paths of the potentials); both; or none.",
        )
        spec.input("max_iterations", valid_type=orm.Int, default=lambda: orm.Int(10))
        spec.inputs.validator = validate_neb
        spec.outline(
            cls.setup,
            cls.run_paths,
            cls.inspect_paths,
            if_(cls.has_relaxed_ends)(cls.run_dft_band, cls.inspect_dft_band),
            cls.run_single_points,
            cls.inspect_single_points,
            cls.results,
        )
        spec.output(
            "comparison", valid_type=orm.Dict, required=False, help="Barriers and differences."
        )
        spec.output("figure", valid_type=orm.SinglefileData, required=False, help="PNG")
        spec.output_namespace(
            "paths",
            valid_type=orm.TrajectoryData,
            dynamic=True,
            help="LABEL, dft, dft_on_LABEL, LABEL_on_dft: images, energies, forces.",
        )
        for status, name, message in (
            (300, "ERROR_NO_PATH", "No method gave a path: {reason}."),
            (310, "ERROR_POTENTIAL_FAILED", "{reason}; the other methods are compared."),
            (320, "ERROR_ONE_MINIMUM", "No barrier: {reason}; the other methods are compared."),
            (410, "ERROR_DFT_ENDS_NOT_RELAXED", "{reason}; the potentials are compared."),
            (411, "ERROR_DFT_NOT_CONVERGED", "{reason}; its last path, if any, is `paths.dft`."),
            (412, "ERROR_SINGLE_POINTS", "{reason}; the rest is compared."),
        ):
            spec.exit_code(status, name, message=message)

    @classmethod
    def get_builder_from_protocol(
        cls,
        structures: Sequence[orm.StructureData] | orm.TrajectoryData,
        potentials: Mapping[str, PotentialData],
        *,
        limsm_code: orm.AbstractCode | str | None = None,
        pw_code: orm.AbstractCode | str | None = None,
        neb_code: orm.AbstractCode | str | None = None,
        dft: str | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        structures
            Initial and final structure, or all images of a band to start from.
        potentials
            By label, such as ``foundation`` and ``finetuned``.
        limsm_code, pw_code, neb_code
            Codes (nodes or labels); without ``pw_code`` there is no DFT.
        dft
            ``none``, ``neb``, ``single_points`` or ``both``; the protocol's where None.
        protocol, overrides, options
            As for the other workchains.

        Raises
        ------
        ValueError
            For an unknown protocol, a missing code or pseudopotential family.
        """
        return fill_builder(
            cls, structures, potentials, limsm_code=limsm_code, pw_code=pw_code,
            neb_code=neb_code, dft=dft, protocol=protocol, overrides=overrides, options=options,
        )  # fmt: skip

    def setup(self) -> None:
        """Make nodes of the images and the k-point mesh."""
        self.ctx.failures = []
        self.ctx.methods = {}
        self.ctx.paths = {}
        self.ctx.one_minimum = []
        self.ctx.with_band = self.inputs.dft.value in ("neb", "both")
        if "images" in self.inputs:
            self.ctx.images = self.inputs.images
        else:
            self.ctx.images = run_calcfunction(
                join_images, "join_images", self.inputs.initial, self.inputs.final
            )
        self.ctx.whole_band = len(self.ctx.images.get_stepids()) > 2
        self.ctx.relaxes_ends = self.inputs.relax_ends.value and not self.ctx.whole_band
        if self.inputs.dft.value == "none":
            return
        base = self.inputs.base
        if "kpoints" in base:
            self.ctx.kpoints = base.kpoints
        else:
            self.ctx.kpoints = run_calcfunction(
                kpoints_mesh,
                "kpoints_mesh",
                self._end(0),
                base.kpoints_distance,
                self.inputs.get("kpoints_offset", None) or orm.List([0.0, 0.0, 0.0]),
            )

    def _end(self, number: int) -> orm.StructureData:
        """Return an end point as it was given: 0 or -1."""
        name = "initial" if number == 0 else "final"
        if name in self.inputs:
            return self.inputs[name]
        return run_calcfunction(select_image, f"select_{name}", self.ctx.images, orm.Int(number))

    def run_paths(self) -> dict[str, Any]:
        """Submit all potentials, and the end points of DFT, at once."""
        nodes = {
            f"mlff_{label}": self._submit_mlff(label, self.ctx.images, f"mlff_{label}")
            for label in sorted(self.inputs.get("potentials", {}))
        }
        if self.ctx.with_band and self.ctx.relaxes_ends:
            for name, number in (("initial", 0), ("final", -1)):
                nodes[f"relax_{name}"] = self._submit_pw(
                    self._end(number), "relax", f"relax_{name}"
                )
        return nodes

    def _submit_mlff(
        self, label: str, images: orm.TrajectoryData, call: str, single: bool = False
    ) -> orm.ProcessNode:
        inputs = AttributeDict({"mlff": self.exposed_inputs(MlffNebCalculation, "mlff")})
        fields = inputs.mlff.parameters.get_dict()
        if "heads" in self.inputs and label in self.inputs.heads.get_dict():
            fields["head"] = self.inputs.heads[label]
        fields["single_points"] = single
        if not single:
            fields["relax_ends"] = self.inputs.relax_ends.value
            if not self.ctx.whole_band:
                fields["n_images"] = self.inputs.n_images.value
        inputs.mlff.parameters = orm.Dict(fields)
        inputs.mlff.images = images
        inputs.mlff.potential = self.inputs.potentials[label]
        inputs.max_iterations = self.inputs.max_iterations
        inputs.metadata = {"call_link_label": call}
        node = self.submit(MlffNebWorkChain, **inputs)
        self.report(f"{call}: MlffNebWorkChain<{node.pk}>")
        return node

    def _submit_pw(
        self, structure: orm.StructureData, calculation: str, call: str
    ) -> orm.ProcessNode:
        inputs = AttributeDict(self.exposed_inputs(PwBaseWorkChain, "base"))
        inputs.pw = AttributeDict(inputs.pw)
        inputs.pw.structure = structure
        inputs.pw.parameters = orm.Dict(
            recursive_merge(
                inputs.pw.parameters.get_dict(),
                {"CONTROL": {"calculation": calculation, "tprnfor": True}},
            )
        )
        inputs.kpoints = self.ctx.kpoints
        inputs.pop("kpoints_distance", None)
        inputs.metadata = {"call_link_label": call}
        node = self.submit(PwBaseWorkChain, **inputs)
        self.report(f"{call}: PwBaseWorkChain<{node.pk}>")
        return node

    def inspect_paths(self) -> None:
        """Keep the paths of the potentials, and the relaxed ends of DFT."""
        for label in sorted(self.inputs.get("potentials", {})):
            self._keep(label, label, self.ctx[f"mlff_{label}"], 310)
        self.ctx.ends = None
        if not self.ctx.with_band:
            return
        if not self.ctx.relaxes_ends:
            self.ctx.ends = [self._end(0), self._end(-1)]
            return
        relaxed = [self.ctx.relax_initial, self.ctx.relax_final]
        for node, name in zip(relaxed, ("initial", "final"), strict=True):
            if not node.is_finished_ok:
                self._fail(410, f"the {name} structure was not relaxed by DFT", node)
        if not all(node.is_finished_ok for node in relaxed):
            return
        ends = [node.outputs.output_structure for node in relaxed]
        given = [self._end(0), self._end(-1)]
        if text := collapsed(*([end.get_ase() for end in pair] for pair in (given, ends))):
            self._fail(320, f"{DFT}: {text}")
            self.ctx.one_minimum.append(DFT)
        else:
            self.ctx.ends = ends

    def has_relaxed_ends(self) -> bool:
        """Return whether neb.x can start."""
        return self.ctx.ends is not None

    def run_dft_band(self) -> dict[str, Any]:
        """Submit neb.x from an interpolation between the ends."""
        if self.ctx.whole_band:
            images = self.ctx.images
        else:
            images = run_calcfunction(
                interpolate_images, "interpolate_images", *self.ctx.ends, self.inputs.n_images,
                orm.Str("idpp"),
            )  # fmt: skip
        inputs = band_inputs(
            self.exposed_inputs(PwBaseWorkChain, "base"),
            self.inputs.neb_code,
            images,
            self.inputs.path,
            # neb.x relaxes the ends of a whole band along with it
            ends_move=bool(self.ctx.whole_band and self.inputs.relax_ends.value),
        )
        inputs |= {
            "kpoints": self.ctx.kpoints,
            "max_iterations": self.inputs.max_iterations,
            "metadata": {"call_link_label": "dft_band"},
        }
        node = self.submit(DftNebWorkChain, **inputs)
        self.report(f"dft_band: DftNebWorkChain<{node.pk}>")
        return {"dft_band": node}

    def inspect_dft_band(self) -> None:
        """Keep the path of neb.x, converged or not."""
        self._keep(DFT, DFT, self.ctx.dft_band, 411)

    def run_single_points(self) -> dict[str, Any]:
        """Submit energies of each on the path of the other."""
        nodes: dict[str, Any] = {}
        potentials = sorted(self.inputs.get("potentials", {}))
        if DFT in self.ctx.paths:
            for label in potentials:
                call = f"mlff_{label}_on_dft"
                nodes[call] = self._submit_mlff(label, self.ctx.paths[DFT], call, single=True)
        if self.inputs.dft.value in ("single_points", "both"):
            for label in set(potentials) & set(self.ctx.paths):
                path = self.ctx.paths[label]
                for number in range(len(path.get_stepids())):
                    call = f"scf_{label}_{number:02d}"
                    image = run_calcfunction(
                        select_image, f"select_{label}_{number:02d}", path, orm.Int(number)
                    )
                    nodes[call] = self._submit_pw(image, "scf", call)
        self.ctx.single_points = sorted(nodes)
        return nodes

    def inspect_single_points(self) -> None:
        """Make paths of the single points."""
        for label in sorted(self.inputs.get("potentials", {})):
            if f"mlff_{label}_on_dft" in self.ctx.single_points:
                self._keep(label, DFT, self.ctx[f"mlff_{label}_on_dft"], 412)
            calls = [call for call in self.ctx.single_points if call.startswith(f"scf_{label}_")]
            calls = [call for call in calls if call[len(f"scf_{label}_") :].isdigit()]
            failed = [call for call in calls if not self.ctx[call].is_finished_ok]
            if failed:
                image = int(failed[0].rsplit("_", 1)[1]) + 1
                what = f"DFT gave no energy of image {image} of the path of '{label}'"
                self._fail(412, what, self.ctx[failed[0]])
            elif calls:
                outputs: dict[str, orm.Data] = {}
                for number, call in enumerate(calls):
                    outputs[f"parameters_{number}"] = self.ctx[call].outputs.output_parameters
                    outputs[f"trajectory_{number}"] = self.ctx[call].outputs.output_trajectory
                path = run_calcfunction(
                    single_point_path, f"dft_on_{label}", self.ctx.paths[label], **outputs
                )
                self._enter(DFT, label, path, None)

    def _keep(self, energies: str, path: str, node: orm.ProcessNode, code: int) -> None:
        """Take the path of a sub-workchain over, and note if it failed."""
        if not node.is_finished_ok:
            results = node.outputs.output_parameters if "output_parameters" in node.outputs else {}
            if results.get("status") == Status.END_POINTS_COLLAPSED:
                code = 320
                self.ctx.one_minimum.append(energies)
            self._fail(code, f"{energies} on {path}" if energies != path else energies, node)
        if "path" in node.outputs:
            own = energies == path
            self._enter(energies, path, node.outputs.path, node.is_finished_ok if own else None)

    def _enter(
        self, energies: str, path: str, node: orm.TrajectoryData, converged: bool | None
    ) -> None:
        name = energies if energies == path else f"{energies}_on_{path}"
        # relaxed ends alone, or a path that the potential took apart, are kept but not compared
        evaluated = ENERGIES in node.get_arraynames() and len(node.get_stepids()) > 2
        self.out(f"paths.{name}", node)
        if evaluated:
            self.ctx.paths[name] = node
            self.ctx.methods[name] = {
                "energies_of": energies, "path_of": path, "converged": converged,
            }  # fmt: skip

    def _fail(self, code: int, what: str, node: orm.ProcessNode | None = None) -> None:
        text = what if node is None else f"{what}: {failure_reason(node)}"
        self.report(text)
        self.ctx.failures.append((code, text))

    def results(self) -> ExitCode | None:
        """Compare what there is, draw it, and say what failed."""
        reason = "; ".join(text for _, text in self.ctx.failures)
        if not self.ctx.paths and not self.ctx.one_minimum:
            return self.exit_codes.ERROR_NO_PATH.format(reason=reason)
        comparison = run_calcfunction(
            compare_paths,
            "compare_paths",
            methods=orm.Dict(self.ctx.methods),
            one_minimum=orm.List(self.ctx.one_minimum),
            **dict(self.ctx.paths),
        )
        self.out("comparison", comparison)
        if self.ctx.paths:
            self.out("figure", run_calcfunction(draw_paths, "draw_paths", comparison))
        if not self.ctx.failures:
            return None
        by_status = {code.status: code for code in self.exit_codes.values()}
        # end points that are one minimum are a finding: what broke down goes first
        worst = min((code for code, _ in self.ctx.failures), key=lambda code: code == 320)
        return by_status[worst].format(reason=reason)
