"""IsolatedAtomsWorkChain: the energy zero (E0) of every element, by the project's own DFT."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChain
from aiida.plugins import WorkflowFactory
from pymatgen.core.periodic_table import Element

from aiida_limsm.calculations.isolated_atoms import isolated_atom, isolated_atom_energies

from ._protocol import (
    LimsmProtocolMixin,
    code_options,
    load_code,
    recursive_merge,
    run_calcfunction,
)
from ._pseudos import require_pseudo_family

PwBaseWorkChain: Any = WorkflowFactory("quantumespresso.pw.base")


def unpaired_electrons(symbol: str) -> int:
    """Return the number of unpaired electrons of a free atom, from its ground-state term."""
    term = Element(symbol).ground_state_term_symbol
    multiplicity = int("".join(character for character in term[:2] if character.isdigit()))
    return multiplicity - 1


class IsolatedAtomsWorkChain(LimsmProtocolMixin, WorkChain):
    """Total energies of free atoms with given pseudopotentials and cutoffs.

    MACE learns total energies minus these. They must come from the same DFT as the labels:
    energies of two codes or pseudopotentials differ by hundreds of eV per atom.
    """

    PROTOCOL_NAME = "isolated_atoms"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(
            PwBaseWorkChain,
            namespace="base",
            exclude=("clean_workdir", "pw.structure", "pw.parent_folder", "pw.pseudos", "kpoints"),
        )
        spec.input_namespace(
            "pseudos", valid_type=orm.Data, dynamic=True, help="One per element, keyed by symbol."
        )
        spec.input(
            "box_angstrom", valid_type=orm.Float, default=lambda: orm.Float(14.0), help="Box edge."
        )
        spec.outline(cls.run_atoms, cls.inspect_atoms)
        spec.output("energies", valid_type=orm.Dict, help="Total energy per element, in eV.")
        spec.exit_code(
            310, "ERROR_ATOM_FAILED", message="The isolated {symbol} atom did not converge."
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData,
        *,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder for all elements of a structure.

        Parameters are those of :meth:`AimdWorkChain.get_builder_from_protocol`.
        """
        code = load_code(code)
        inputs = cls.get_protocol_inputs(protocol, overrides)
        if "pseudos" not in inputs["base"]["pw"]:
            require_pseudo_family(inputs["base"]["pseudo_family"], structure.get_symbols_set())
        base = PwBaseWorkChain.get_builder_from_protocol(
            code, structure, protocol=protocol, overrides=inputs["base"]
        )
        builder: Any = cls.get_builder()
        builder.pseudos = dict(base.pw.pseudos)
        for key in ("structure", "pseudos"):
            base.pw.pop(key, None)
        for key in ("clean_workdir", "kpoints_distance", "kpoints_force_parity"):
            base.pop(key, None)
        base.pw.metadata = {
            "options": code_options(code, inputs["base"]["pw"]["metadata"]["options"], options)
        }
        builder.base = base
        builder.box_angstrom = orm.Float(inputs["box_angstrom"])
        return builder

    def run_atoms(self) -> dict[str, Any]:
        """Submit one SCF per element, all at once."""
        gamma = orm.KpointsData()
        gamma.set_kpoints_mesh([1, 1, 1])
        nodes = {}
        for kind, pseudo in sorted(self.inputs.pseudos.items()):
            inputs = AttributeDict(self.exposed_inputs(PwBaseWorkChain, "base"))
            symbol = pseudo.element
            structure = run_calcfunction(
                isolated_atom, f"structure_{symbol}", orm.Str(symbol), self.inputs.box_angstrom
            )
            unpaired = unpaired_electrons(symbol)
            inputs.pw = AttributeDict(inputs.pw)
            inputs.pw.structure = structure
            inputs.pw.pseudos = {symbol: pseudo}
            inputs.pw.parameters = orm.Dict(
                recursive_merge(
                    inputs.pw.parameters.get_dict(),
                    {
                        "SYSTEM": {
                            "nspin": 2,
                            "tot_magnetization": unpaired,
                            # empty states for the smearing, also above a one-electron atom
                            "nbnd": max(6, round(pseudo.z_valence / 2) + 4),
                        }
                    },
                )
            )
            inputs.kpoints = gamma
            inputs.metadata = {"call_link_label": f"atom_{symbol}"}
            node = self.submit(PwBaseWorkChain, **inputs)
            self.report(f"isolated {symbol}: PwBaseWorkChain<{node.pk}> ({kind})")
            nodes[f"atom_{symbol}"] = node
        self.ctx.symbols = [key.removeprefix("atom_") for key in nodes]
        return nodes

    def inspect_atoms(self) -> ExitCode | None:
        """Collect the energies."""
        outputs = {}
        for symbol in self.ctx.symbols:
            node = self.ctx[f"atom_{symbol}"]
            if not node.is_finished_ok:
                return self.exit_codes.ERROR_ATOM_FAILED.format(symbol=symbol)
            outputs[symbol] = node.outputs.output_parameters
        self.out(
            "energies",
            run_calcfunction(isolated_atom_energies, "collect_energies", **outputs),
        )
        return None
