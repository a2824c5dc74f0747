"""``verdi data limsm``: look at the package's data nodes and export them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from aiida.cmdline.params import arguments, types
from aiida.cmdline.utils import decorators, echo

if TYPE_CHECKING:
    from aiida.orm import Data

#: Name of a sub-group, and the entry point of its node type.
NODE_TYPES = {
    "dataset": "limsm.dataset",
    "potential": "limsm.potential",
    "trajectory": "limsm.trajectory",
    "markov": "limsm.markov_model",
    "diffusion": "limsm.diffusion",
}


class _LimsmNode(types.DataParamType):
    """A node of ours by PK, UUID or label; says what a wrong node is instead of "not found"."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from aiida.plugins import DataFactory

        node = super().convert(value, param, ctx)
        classes = tuple(DataFactory(NODE_TYPES[name]) for name in self.names)
        if isinstance(node, classes):
            return node
        found = f"PK {node.pk} is of type {type(node).__name__}"
        if any(isinstance(node, DataFactory(point)) for point in NODE_TYPES.values()):
            remedy = f"try `verdi data limsm show {node.pk}`"
        else:
            remedy = "see `verdi data limsm list`"
        wanted = classes[0].__name__ if len(classes) == 1 else "node of aiida-limsm"
        return self.fail(f"{found}, not a {wanted}: {remedy}", param, ctx)


def _datum(*names: str) -> Callable[..., Any]:
    """Return a click argument that takes one node of the named types, of any type without."""
    argument: Callable[..., Any] = arguments.DATUM(type=_LimsmNode(*(names or NODE_TYPES)))
    return argument


_output = click.argument("output", type=click.Path(path_type=Path))
_force = click.option("-f", "--force", is_flag=True, help="Overwrite what is there.")


def _refuse_existing(path: Path, force: bool) -> None:
    if path.exists() and not force:
        echo.echo_critical(f"{path} exists: choose another name, or add --force")


def _export_file(datum: Any, output: Path, force: bool) -> None:
    """Write the one file of a node."""
    _refuse_existing(output, force)
    with datum.open(mode="rb") as source, output.open("wb") as target:
        shutil.copyfileobj(source, target)
    echo.echo_success(f"wrote {output}")


def _show(datum: Data) -> None:
    label = f" '{datum.label}'" if datum.label else ""
    echo.echo(f"{type(datum).__name__} PK {datum.pk}{label} ({datum.uuid})")
    echo.echo(_text(datum))


def _text(datum: Any) -> str:
    from aiida_limsm.data.dataset import ReferenceDatasetData

    if isinstance(datum, ReferenceDatasetData):
        from ._data_dataset import describe

        return describe(datum)
    return str(datum.summary())


@click.group("limsm")
def limsm() -> None:
    """Datasets, potentials, trajectories, Markov models and diffusion tensors of aiida-limsm."""


@limsm.command("list")
@click.option("-t", "--type", "name", type=click.Choice(list(NODE_TYPES)), help="Only this type.")
@decorators.with_dbenv()
def list_nodes(name: str | None) -> None:
    """List the nodes of this profile."""
    from aiida.common import timezone
    from aiida.common.utils import str_timedelta
    from aiida.orm import QueryBuilder
    from aiida.plugins import DataFactory

    chosen = [name] if name else list(NODE_TYPES)
    rows = []
    for each in chosen:
        query = QueryBuilder().append(DataFactory(NODE_TYPES[each]), tag="node")
        query.order_by({"node": {"id": "asc"}})
        for (node,) in query.iterall():
            age = str_timedelta(timezone.delta(node.ctime), negative_to_zero=True, max_num_fields=1)
            described = ": ".join(part for part in (node.label, node.headline()) if part)
            rows.append((int(node.pk), age, each, described))
    rows.sort()
    if not rows:
        echo.echo("no nodes" if name is None else f"no nodes of type {name}")
        return
    for row in [("PK", "Created", "Type", "Content"), *rows]:
        echo.echo(f"{row[0]:>7}  {row[1]:<10}  {row[2]:<10}  {row[3]}")


@limsm.command("show")
@_datum()
@decorators.with_dbenv()
def show(datum: Data) -> None:
    """Show what one node holds, whatever its type."""
    _show(datum)


def _show_command(group: click.Group, name: str) -> None:
    @group.command("show")
    @_datum(name)
    @decorators.with_dbenv()
    def command(datum: Data) -> None:
        _show(datum)

    command.help = f"Show what one node of type {name} holds."


@limsm.group("dataset")
def dataset() -> None:
    """Frames labelled by DFT."""


@dataset.command("export")
@_datum("dataset")
@_output
@_force
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), help="Only this, as a file."
)
@decorators.with_dbenv()
def dataset_export(datum: Any, output: Path, force: bool, split: str | None) -> None:
    """Write train.xyz, valid.xyz, test.xyz and statistics.txt into the folder OUTPUT.

    The frames are extended XYZ as MACE and ASE read it. With --split OUTPUT is the file itself.
    """
    from ._data_dataset import export, export_paths

    try:
        paths = export_paths(datum, output, split)
        for path in paths.values():
            _refuse_existing(path, force)
        export(datum, paths)
    except ValueError as error:
        echo.echo_critical(str(error))
    except OSError as error:
        echo.echo_critical(f"{error.filename or output}: {error.strerror or error}")
    echo.echo_success(f"wrote {', '.join(str(path) for path in paths.values())}")


@dataset.command("plot")
@_datum("dataset")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("dataset.png"),
    show_default=True,
    help="The picture, PNG.",
)
@_force
@decorators.with_dbenv()
def dataset_plot(datum: Any, output: Path, force: bool) -> None:
    """Draw energy per atom and largest force of every frame, by split and source."""
    from ._data_dataset import plot

    if output.suffix.lower() != ".png":
        echo.echo_critical(f"'{output.name}': the name must end in .png")
    _refuse_existing(output, force)
    try:
        plot(datum, output)
    except OSError as error:
        echo.echo_critical(f"{error.filename or output}: {error.strerror or error}")
    echo.echo_success(f"wrote {output}")


@limsm.group("potential")
def potential() -> None:
    """Machine-learned potentials."""


@potential.command("export")
@_datum("potential")
@_output
@_force
@decorators.with_dbenv()
def potential_export(datum: Any, output: Path, force: bool) -> None:
    """Write the model file to OUTPUT."""
    _export_file(datum, output, force)


@limsm.group("trajectory")
def trajectory() -> None:
    """Molecular dynamics trajectories."""


@trajectory.command("export")
@_datum("trajectory")
@_output
@_force
@click.option("--every", type=click.IntRange(min=1), default=1, help="Only every n-th frame (xyz).")
@decorators.with_dbenv()
def trajectory_export(datum: Any, output: Path, force: bool, every: int) -> None:
    """Write the trajectory to OUTPUT: the file itself (.h5) or frames as extxyz (.xyz, .extxyz)."""
    from aiida.common.exceptions import NotExistent

    _refuse_existing(output, force)
    suffix = output.suffix.lower()
    if suffix not in (".h5", ".xyz", ".extxyz"):
        echo.echo_critical(f"'{output.name}': the name must end in .h5, .xyz or .extxyz")
    if suffix == ".h5" and every != 1:
        echo.echo_critical("--every thins extxyz only: the .h5 file is copied as it is")
    try:
        if suffix == ".h5":
            with (
                datum.base.repository.open(datum.filename, mode="rb") as source,
                output.open("wb") as target,
            ):
                shutil.copyfileobj(source, target)
        else:
            _write_extxyz(datum, output, every)
    except NotExistent as error:
        echo.echo_critical(str(error))
    echo.echo_success(f"wrote {output}")


def _write_extxyz(datum: Any, output: Path, every: int) -> None:
    """Write frame by frame: a long trajectory does not fit in memory."""
    import ase.io

    with datum.open() as reader, output.open("w", encoding="utf-8") as target:
        for index in range(0, reader.n_frames, every):
            ase.io.write(target, reader.to_ase(index), format="extxyz")


@limsm.group("markov")
def markov() -> None:
    """Markov state models."""


@markov.command("export")
@_datum("markov")
@_output
@_force
@decorators.with_dbenv()
def markov_export(datum: Any, output: Path, force: bool) -> None:
    """Write the model with its curves to OUTPUT (HDF5), as `limsm analyse` does."""
    _export_file(datum, output, force)


@limsm.group("diffusion")
def diffusion() -> None:
    """Diffusion tensors."""


for _group, _name in (
    (dataset, "dataset"),
    (potential, "potential"),
    (trajectory, "trajectory"),
    (markov, "markov"),
    (diffusion, "diffusion"),
):
    _show_command(_group, _name)
