"""The command ``aiida-limsm``: prepare a profile, look at it, and run the demo."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click

from aiida_limsm import __version__


class LazyCommand(NamedTuple):
    """Where a sub-command lives, and its line in the help."""

    target: str
    short_help: str


#: Sub-commands by name. They are imported only when called: AiiDA alone takes a second to load.
COMMANDS: dict[str, LazyCommand] = {
    "setup": LazyCommand(
        "aiida_limsm.cli.setup:setup_command",
        "Make the profile, computer, codes and pseudopotentials.",
    ),
    "doctor": LazyCommand(
        "aiida_limsm.cli.doctor:doctor_command", "Check the installation and say what to do."
    ),
    "demo": LazyCommand(
        "aiida_limsm.cli.demo:demo_command", "Run the whole road on a small crystal."
    ),
    "follow": LazyCommand(
        "aiida_limsm.cli.report:follow_command", "Follow a running study to its report."
    ),
    "report": LazyCommand(
        "aiida_limsm.cli.report:report_command", "Write the report of a finished study."
    ),
    "aimd": LazyCommand(
        "aiida_limsm.cli.aimd:aimd_command", "Look at an ab initio MD run and its joins."
    ),
    "series": LazyCommand(
        "aiida_limsm.cli.series:series_command", "Show D over cell size and temperature."
    ),
    "trace": LazyCommand(
        "aiida_limsm.cli.trace:trace_command", "List the DFT calculations behind a result."
    ),
    "potential": LazyCommand(
        "aiida_limsm.cli.potential:potential_group", "Import and list MACE potentials."
    ),
}

#: Sub-commands with options for the profile: for them, one that cannot be loaded is a finding.
CHOOSE_THEMSELVES = ("setup", "doctor")


class LazyGroup(click.Group):
    """A group that imports a sub-command when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one sub-command, or nothing for a name that is not ours."""
        if cmd_name not in COMMANDS:
            return None
        # AiiDA reads AIIDA_PATH while it is imported, which importing most sub-commands does;
        # the two others import it later, when they know the folder.
        if cmd_name not in CHOOSE_THEMSELVES:
            from aiida_limsm.cli.profile import select_aiida_path

            select_aiida_path(profile=ctx.params.get("profile"))
        module, name = COMMANDS[cmd_name].target.split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of sub-commands from :data:`COMMANDS`, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  aiida-limsm setup --daemon             an AiiDA profile in ./.limsm, ready to calculate
  aiida-limsm doctor                     is everything in place?
  aiida-limsm setup --profile mine       codes and pseudopotentials in your own profile
  aiida-limsm trace 1234                 every pw.x calculation behind node 1234
  aiida-limsm -p mine trace 1234         the same in the profile `mine`

Without -p: the profile under $AIIDA_PATH, else under ./.limsm/aiida, else your default one.""",
)
@click.version_option(__version__, prog_name="aiida-limsm")
@click.option("-p", "--profile", metavar="NAME", help="The AiiDA profile to use.")
@click.pass_context
def main(ctx: click.Context, profile: str | None) -> None:
    """From ab initio MD to a lithium diffusion tensor you can defend, with AiiDA.

    The commands that look at and change the data nodes are under `verdi data limsm`.
    """
    ctx.obj = profile
    if profile is not None and ctx.invoked_subcommand not in CHOOSE_THEMSELVES:
        from aiida_limsm.cli.profile import load_limsm_profile

        load_limsm_profile(profile)


if __name__ == "__main__":
    main()
