"""The commands that the cluster adds to `textinv`: `submit`, `learn`, `job`, `fleet`, `concept relearn`, `guess train`.

Owns registering them. Nothing of Ray is imported before a command needs it.
"""

import typer

from cluster.commands import fleet as fleet_commands
from cluster.commands import guess as guess_command
from cluster.commands import jobs as job_commands
from cluster.commands import learn as learn_command
from cluster.commands import relearn as relearn_command
from cluster.commands import submit as submit_command


def register(app: typer.Typer) -> None:
    """Add the commands."""
    submit_command.register(app)
    learn_command.register(app)
    relearn_command.register(app)
    guess_command.register(app)
    job_commands.register(app)
    fleet_commands.register(app)
