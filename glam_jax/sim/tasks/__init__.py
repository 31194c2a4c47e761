"""The tasks, by name."""

from glam_jax.sim.tasks.lifting import LIFTING
from glam_jax.sim.tasks.stack_three import STACK_THREE
from glam_jax.sim.tasks.stack_two import STACK_TWO

TASKS = {task.name: task for task in (LIFTING, STACK_TWO, STACK_THREE)}
