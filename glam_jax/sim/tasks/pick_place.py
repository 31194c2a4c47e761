"""Pick and place: put a cube into a bowl, so that it lies there at rest."""

import math

import jax
import jax.numpy as jnp

from glam_jax.sim.scenes import ContactLimits, Solid, Thing
from glam_jax.sim.tasks import cube
from glam_jax.sim.tasks.path import (
    Move,
    Path,
    duration,
    nearest_quarter_turn,
    through,
    within_reach,
)
from glam_jax.sim.tasks.task import Situation, Start, Task, first_clear, uniform

# The bowl: a floor and a rim of capsules around it, in a frame at the middle of its underside.
# Capsules collide faster than boxes, and their round tops let a cube slide in.
SIDES = 6
FLOOR = 0.006  # m, how thick
INSIDE = 0.057  # m, from the axis to each side of the rim
RIM_RADIUS = 0.017  # m, of its capsules
RIM = 0.043  # m, height of its top

# Success: how the cube lies, in the bowl's frame, and where the gripper is.
OFF_AXIS = 0.035  # m, the cube's centre from the bowl's axis, at most
STILL = 0.02  # m/s, cube and bowl, at most
OPEN = 0.75  # gripper opening, at least; around the cube it is 0.59
CLEAR = 0.06  # m, tcp above the cube's centre, at least

_APART = 0.155  # m, from cube to bowl at the start: rim, open fingers and a margin
_BOWL_REACH = 0.61  # m, of the bowl from the arm's foot, at most


def bowl(name: str, rgba: tuple[float, float, float, float]) -> Thing:
    """A bowl of 0.6 kg, 18 cm across, that a 5 cm cube lies in with 2 to 3 cm to spare."""
    axis = INSIDE + RIM_RADIUS  # from the bowl's axis to those of the capsules
    half_side = axis * math.tan(math.pi / SIDES)
    wide = (INSIDE + axis) / 2  # up to where the rim hides its edges, so that no table shows
    floor = Solid("box", (wide, wide, FLOOR / 2), 0.24, rgba, position=(0.0, 0.0, FLOOR / 2))
    rim = []
    for side in range(SIDES):
        angle = 2 * math.pi * side / SIDES
        out, half = (math.cos(angle), math.sin(angle)), math.sqrt(0.5)
        rim.append(
            Solid(
                "capsule",
                (RIM_RADIUS, half_side),
                mass=0.06,
                rgba=rgba,
                position=(axis * out[0], axis * out[1], RIM - RIM_RADIUS),
                quaternion=(half, -half * out[0], -half * out[1], 0.0),  # lying, along the side
            )
        )
    return Thing(name, (floor, *rim))


def sample(key: jax.Array) -> Start:
    """Cube and bowl on the table with room for the fingers between, hand in the space above.

    The hand starts as far and wide as in lifting.
    """
    turn = cube.TURN
    low = [[0.35, -0.20, -turn], [0.35, -0.17, -turn]]  # the bowl is wider: all of it in view
    high = [[0.60, 0.20, turn], [0.60, 0.17, turn]]

    def draw(key):
        return uniform(key, low, high)

    def is_clear(placed):
        apart = jnp.linalg.norm(placed[0, :2] - placed[1, :2]) >= _APART
        return apart & (jnp.linalg.norm(placed[1, :2]) <= _BOWL_REACH)

    placed = first_clear(jax.random.fold_in(key, 0), draw, is_clear)
    hand = uniform(jax.random.fold_in(key, 1), [0.38, -0.14, 0.17, -0.4], [0.52, 0.14, 0.32, 0.4])
    height = jnp.array([[cube.HALF], [0.0]])
    position = jnp.concatenate([placed[:, :2], height], axis=1)
    return Start(position, placed[:, 2], hand[None, :3], hand[3:])


def is_placed(now: Situation) -> jax.Array:
    """The cube lies at rest inside the bowl, and the open gripper is above it."""
    offset = now.position[0] - now.position[1]
    in_bowl = jnp.matmul(offset, now.rotation[1], precision=jax.lax.Precision.HIGHEST)
    inside = (jnp.linalg.norm(in_bowl[:2]) <= OFF_AXIS) & (in_bowl[2] > 0) & (in_bowl[2] <= RIM)
    at_rest = jnp.all(jnp.linalg.norm(now.velocity, axis=-1) <= STILL)
    clear = now.tcp_position[0, 2] - now.position[0, 2] >= CLEAR
    return inside & at_rest & (now.opening[0] >= OPEN) & clear


def plan(key: jax.Array, start: Start, steps: int) -> Path:
    """Reach over the cube, descend, close, lift, carry over the bowl, lower, open, retreat.

    Varied: `cube.Grasp`, speeds, height and drift of the lift, bow of the way across, turn of the
    hand, where in the bowl and from how high the cube is let go, waits, and the retreat.
    """
    reach, carry, place = (jax.random.fold_in(key, i) for i in range(3))
    grasp = cube.draw(reach, cube.LEAST, cube.MOST)
    home, yaw = start.tcp_position[0], nearest_quarter_turn(start.object_yaw[0], 0.0)
    moves = cube.take_hold(grasp, home, start.object_position[0], yaw)
    held = moves[-1].position

    low = [0.11, -0.03, -0.03, 0.12, 0.09, -0.012, -0.012, -0.05, 0.16, -0.3]
    high = [0.17, 0.03, 0.03, 0.18, 0.14, 0.012, 0.012, 0.05, 0.24, 0.3]
    height, *drift, lift_speed, above, aside, ahead, bow, speed, turn = uniform(carry, low, high)
    top = within_reach(held + jnp.stack([*drift, height]))
    release, wait, *drift, retreat, lower_speed, up_speed = uniform(
        place,
        [0.045, 3.0, -0.03, -0.03, 0.10, 0.07, 0.12],
        [0.060, 5.99, 0.03, 0.03, 0.15, 0.11, 0.18],
    )
    into = start.object_position[1] + jnp.stack([aside, ahead, release])
    higher = within_reach(start.object_position[1] + jnp.stack([aside / 2, ahead / 2, 0.0]))
    higher = higher.at[2].set(release + above)
    away = within_reach(into + jnp.stack([*drift, retreat]))
    let_go = yaw + turn
    moves += [
        Move(top, yaw, duration(held, top, lift_speed, 14.0), 0.0),
        Move(higher, let_go, duration(top, higher, speed, 14.0), 0.0, bow),
        Move(into, let_go, duration(higher, into, lower_speed, 10.0), 0.0),
        Move(into, let_go, jnp.floor(wait), 1.0),
        Move(away, let_go, duration(into, away, up_speed, 12.0), 1.0),
    ]
    return through(home, start.tcp_yaw[0], moves, steps)


PICK_PLACE = Task(
    name="pick_place",
    arms=1,
    objects=(
        cube.cube("cube"),
        bowl("bowl", (0.15, 0.55, 0.25, 1.0)),
    ),
    sample=sample,
    condition=is_placed,
    hold_steps=10,
    horizon=260,
    plan=plan,
    plan_steps=210,
    contact_limits=ContactLimits(pairs=8, points=24),
    in_the_field=True,
)
