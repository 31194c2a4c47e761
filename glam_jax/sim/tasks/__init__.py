"""The tasks, by name."""

from glam_jax.sim.tasks.knock_down import KNOCK_DOWN
from glam_jax.sim.tasks.lifting import LIFTING

TASKS = {task.name: task for task in (LIFTING, KNOCK_DOWN)}
