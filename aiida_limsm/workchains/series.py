"""DiffusionSeriesWorkChain: D over the size of the cell and over temperature."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChain, while_

from aiida_limsm.calculations.series import collect_series
from aiida_limsm.calculations.structures import make_supercell
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.data.markov_model import MarkovModelData
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from ._first_done import FirstDoneMixin
from ._protocol import LimsmProtocolMixin, run_calcfunction
from ._seeds import run_seed
from ._series_inputs import fill_builder, members_of, validate_series
from .label import failure_reason
from .markov import MarkovWorkChain
from .md import MolecularDynamicsWorkChain


class DiffusionSeriesWorkChain(LimsmProtocolMixin, FirstDoneMixin, WorkChain):
    """MLFF MD and Markov analysis of several supercells at several temperatures.

    A member of the series is one supercell at one temperature; its replicas are analysed together.
    Every run has a seed of its own, by :func:`run_seed`. At most ``max_concurrent`` runs and
    analyses are on their way at a time. A replica that fails is left out, a member without any is
    named in the summary; neither takes the others with it.
    """

    PROTOCOL_NAME = "series"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="The cell that is repeated.")
        spec.input("potential", valid_type=PotentialData, help="The force field.")
        spec.input(
            "sites",
            valid_type=orm.StructureData,
            required=False,
            help="Structure whose mobile atoms mark every site, vacant ones too; the structure "
            "itself where not given.",
        )
        spec.input("supercells", valid_type=orm.List, help="Repetitions [nx, ny, nz], a list.")
        spec.input("temperatures", valid_type=orm.List, help="In K.")
        spec.input(
            "size_temperatures",
            valid_type=orm.List,
            required=False,
            help="Temperatures of all supercells, where the others are for the first supercell "
            "alone; all of them where not given.",
        )
        spec.input("replicas", valid_type=orm.Int, default=lambda: orm.Int(1))
        spec.input(
            "analysed",
            valid_type=orm.Str,
            default=lambda: orm.Str("trajectory"),
            help="What the analysis reads: `trajectory`, or `mobile`, the mobile ions at their own "
            "interval, without a look at the framework.",
        )
        spec.input(
            "max_concurrent",
            valid_type=orm.Int,
            default=lambda: orm.Int(20),
            help="How many runs and analyses at a time.",
        )
        spec.expose_inputs(
            MolecularDynamicsWorkChain, namespace="md", exclude=("md.structure", "md.potential")
        )
        spec.expose_inputs(
            MarkovWorkChain, namespace="markov", exclude=("analyse.sites", "analyse.trajectories")
        )
        spec.inputs.validator = validate_series
        spec.outline(cls.setup, while_(cls.is_unfinished)(cls.fill_up), cls.results)
        spec.output_namespace("trajectories", valid_type=MolecularDynamicsData, dynamic=True)
        spec.output_namespace("markov_models", valid_type=MarkovModelData, dynamic=True)
        spec.output_namespace("diffusion", valid_type=DiffusionData, dynamic=True)
        spec.output_namespace("diffusion_msd", valid_type=DiffusionData, dynamic=True)
        spec.output(
            "summary",
            valid_type=orm.Dict,
            help="Table of D, convergence over the size, Arrhenius fits, what failed.",
        )
        spec.exit_code(330, "ERROR_NO_DIFFUSION", message="No member gave a result: {reason}")
        spec.exit_code(
            430,
            "ERROR_SOME_MEMBERS_FAILED",
            message="The other members are in the outputs; failed: {reason}",
        )

    @classmethod
    def get_builder_from_protocol(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a builder filled from a protocol; see :func:`fill_builder`."""
        return fill_builder(cls, *args, **kwargs)

    def setup(self) -> None:
        """Make the supercells and put all runs in the queue."""
        chosen = self.inputs.get("size_temperatures")
        self.ctx.members = members_of(
            self.inputs.supercells.get_list(),
            self.inputs.temperatures.get_list(),
            None if chosen is None else chosen.get_list(),
        )
        self.ctx.cells = {}
        for supercell in self.inputs.supercells.get_list():
            name = "x".join(map(str, supercell))
            made = run_calcfunction(
                make_supercell, f"supercell_{name}", self.inputs.structure, orm.List(supercell)
            )
            self.ctx.cells[name] = made.pk
        self.ctx.queue = [
            self._md_label(member, replica)
            for member in self.ctx.members
            for replica in range(self.inputs.replicas.value)
        ]
        self.ctx.unanalysed = list(self.ctx.members)
        self.ctx.running = []
        # pks, not nodes: AiiDA writes all of the context down at every step
        self.ctx.pks = {}
        self.ctx.failed = {}

    @staticmethod
    def _md_label(member: str, replica: int) -> str:
        return f"md_{member}_r{replica}"

    def _md_labels(self, member: str) -> list[str]:
        return [self._md_label(member, k) for k in range(self.inputs.replicas.value)]

    def _process_of(self, label: str) -> Any:
        return orm.load_node(self.ctx.pks[label])

    def is_unfinished(self) -> bool:
        """Put the analysis of members whose runs are done in front, and ask what is left."""
        self.ctx.running = [
            label for label in self.ctx.running if not self._process_of(label).is_terminated
        ]
        for member in list(self.ctx.unanalysed):
            labels = self._md_labels(member)
            if any(label not in self.ctx.pks or label in self.ctx.running for label in labels):
                continue
            self.ctx.unanalysed.remove(member)
            bad = [label for label in labels if not self._process_of(label).is_finished_ok]
            for label in bad:
                self.report(f"{label} is left out: {failure_reason(self._process_of(label))}")
            if len(bad) < len(labels):
                self.ctx.queue.insert(0, f"markov_{member}")
            else:
                self.ctx.failed[member] = failure_reason(self._process_of(bad[0]))
        return bool(self.ctx.queue or self.ctx.running)

    def fill_up(self) -> dict[str, Any]:
        """Submit as many as there is room for, and wait for any of those on their way."""
        while self.ctx.queue and len(self.ctx.running) < self.inputs.max_concurrent.value:
            label = self.ctx.queue.pop(0)
            kind, member = label.split("_", 1)
            if kind == "markov":
                node = self._submit_markov(label, member)
            else:
                node = self._submit_md(label, *member.rsplit("_r", 1))
            self.report(f"{label}: {node.process_label}<{node.pk}>")
            self.ctx.pks[label] = node.pk
            self.ctx.running.append(label)
        self.ctx.pop("waited_for", None)
        return {f"waited_for.{label}": self._process_of(label) for label in self.ctx.running}

    def _submit_md(self, label: str, member: str, replica: str) -> Any:
        asked = self.ctx.members[member]
        inputs = AttributeDict(self.exposed_inputs(MolecularDynamicsWorkChain, "md"))
        parameters = inputs.md.parameters.get_dict()
        parameters["temperature_k"] = asked["temperature_k"]
        parameters["seed"] = run_seed(parameters.get("seed", 0), member, int(replica))
        inputs.md = AttributeDict(inputs.md)
        inputs.md.parameters = orm.Dict(parameters)
        inputs.md.structure = orm.load_node(self.ctx.cells["x".join(map(str, asked["supercell"]))])
        inputs.md.potential = self.inputs.potential
        inputs.metadata = {"call_link_label": label}
        return self.submit(MolecularDynamicsWorkChain, **inputs)

    def _submit_markov(self, label: str, member: str) -> Any:
        inputs = AttributeDict(self.exposed_inputs(MarkovWorkChain, "markov"))
        inputs.analyse = AttributeDict(inputs.analyse)
        inputs.analyse.trajectories = {}
        for replica, name in enumerate(self._md_labels(member)):
            node = self._process_of(name)
            if node.is_finished_ok:
                inputs.analyse.trajectories[f"r{replica}"] = node.outputs[
                    self.inputs.analysed.value
                ]
                self.out(f"trajectories.{member}_r{replica}", node.outputs.trajectory)
        if inputs.analyse.parameters.get_dict().get("sites") != "density":
            inputs.analyse.sites = self.inputs.get("sites", self.inputs.structure)
        inputs.metadata = {"call_link_label": label}
        return self.submit(MarkovWorkChain, **inputs)

    def results(self) -> ExitCode | None:
        """Attach D of all members, the fits, and what failed."""
        diffusion: dict[str, orm.Data] = {}
        for label in [name for name in self.ctx.pks if name.startswith("markov_")]:
            member, node = label.removeprefix("markov_"), self._process_of(label)
            if not node.is_finished_ok or "diffusion" not in node.outputs:
                self.ctx.failed[member] = failure_reason(node)
                continue
            self.out(f"markov_models.{member}", node.outputs.markov_model)
            self.out(f"diffusion.{member}", node.outputs.diffusion)
            self.out(f"diffusion_msd.{member}", node.outputs.diffusion_msd)
            diffusion[member] = node.outputs.diffusion
        failed = {member: self.ctx.failed[member] for member in sorted(self.ctx.failed)}
        reason = "; ".join(f"{member} ({why})" for member, why in failed.items())
        if not diffusion:
            return self.exit_codes.ERROR_NO_DIFFUSION.format(reason=reason)
        # by the order of the labels, not of who ended first
        members = orm.Dict({"members": dict(self.ctx.members), "failed": failed})
        summary = run_calcfunction(
            collect_series, "collect_series", members, **dict(sorted(diffusion.items()))
        )
        self.out("summary", summary)
        for entry in (*summary["size"], *summary["arrhenius"]):
            at = entry.get("temperature_k") or "x".join(map(str, entry["supercell"]))
            self.report(f"{at}: {entry['verdict']}")
            for axis, part in entry["along"].items():
                self.report(f"{at}, along {axis}: {part['verdict']}")
        return self.exit_codes.ERROR_SOME_MEMBERS_FAILED.format(reason=reason) if reason else None
