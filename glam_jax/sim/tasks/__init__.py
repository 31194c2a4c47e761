"""The tasks, by name."""

from glam_jax.sim.tasks.knock_down import KNOCK_DOWN
from glam_jax.sim.tasks.lifting import LIFTING
from glam_jax.sim.tasks.pick_place import PICK_PLACE
from glam_jax.sim.tasks.stack_three import STACK_THREE
from glam_jax.sim.tasks.stack_two import STACK_TWO

TASKS = {task.name: task for task in (LIFTING, PICK_PLACE, KNOCK_DOWN, STACK_TWO, STACK_THREE)}
