"""What stacking tasks share: when a cube rests on another, and how it gets there."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from glam_jax.sim.tasks import cube
from glam_jax.sim.tasks.path import Move, duration, within_reach
from glam_jax.sim.tasks.task import Situation

APART = 0.115  # m, least distance of cubes on the table: between two, open fingers have room

# Success: the upper cube lies on the lower one, at rest, and the hand is away.
OFF_CENTRE = 0.02  # m, most horizontal offset of the centres
OFF_LEVEL = 0.01  # m, most deviation from one edge above the lower centre
AT_REST = 0.05  # m/s, most speed
OPEN = 0.8  # least opening of the gripper; on a cube it is 0.59
AWAY = 0.10  # m, least distance of the tcp from the cube: then no finger can touch it


def rests_on(now: Situation, upper: int, lower: int) -> jax.Array:
    """Object `upper` is at rest on object `lower`: bool scalar."""
    apart = now.position[upper] - now.position[lower]
    centred = jnp.linalg.norm(apart[:2]) < OFF_CENTRE
    level = jnp.abs(apart[2] - 2 * cube.HALF) < OFF_LEVEL
    return centred & level & (jnp.linalg.norm(now.velocity[upper]) < AT_REST)


def has_left(now: Situation, arm: int, thing: int) -> jax.Array:
    """The gripper of `arm` is open and its tcp away from object `thing`: bool scalar."""
    distance = jnp.linalg.norm(now.tcp_position[arm] - now.position[thing])
    return (now.opening[arm] > OPEN) & (distance > AWAY)


class Manner(NamedTuple):
    """How one demonstration grasps, carries and places; lengths in m, speeds in m/s.

    Attributes:
      grasp: how it takes hold.
      rise: height to which the cube is lifted. drift: (2,) sideways meanwhile.
      carry_bow: detour on the way across.
      lift_speed, carry_speed, lower_speed, leave_speed: of the moves.
      over: height above its place before lowering. beside: (2,) sideways offset there, so that
        demonstrations show how to correct one on the way down.
      miss: (2,) error of the place. drop: height of the cube when the gripper opens.
      release: control steps for opening.
      leave: (3,) from there to where the hand ends.
    """

    grasp: cube.Grasp
    rise: jax.Array
    drift: jax.Array
    lift_speed: jax.Array
    carry_bow: jax.Array
    carry_speed: jax.Array
    over: jax.Array
    beside: jax.Array
    lower_speed: jax.Array
    miss: jax.Array
    drop: jax.Array
    release: jax.Array
    leave: jax.Array
    leave_speed: jax.Array


_LEAST = Manner(
    grasp=cube.LEAST, rise=0.10, drift=[-0.03, -0.03], lift_speed=0.12,
    carry_bow=-0.03, carry_speed=0.12, over=0.05, beside=[-0.025, -0.025],
    lower_speed=0.05,
    miss=[-0.003, -0.003], drop=0.001, release=4.0,
    leave=[-0.05, -0.05, 0.13], leave_speed=0.13,
)  # fmt: skip
_MOST = Manner(
    grasp=cube.MOST, rise=0.16, drift=[0.03, 0.03], lift_speed=0.18,
    carry_bow=0.03, carry_speed=0.18, over=0.09, beside=[0.025, 0.025],
    lower_speed=0.08,
    miss=[0.003, 0.003], drop=0.003, release=6.99,
    leave=[0.05, 0.05, 0.18], leave_speed=0.20,
)  # fmt: skip


def draw_manner(key: jax.Array) -> Manner:
    """A manner in which to stack, uniform over what the experts vary."""
    return cube.draw(key, _LEAST, _MOST)


def pick_up(manner: Manner, home: jax.Array, centre: jax.Array, yaw: jax.Array) -> list[Move]:
    """Moves of a hand from `home` (3,) to a cube at `centre` (3,), grasped at `yaw`, and up."""
    moves = cube.take_hold(manner.grasp, home, centre, yaw)
    held = moves[-1].position
    top = held.at[:2].add(manner.drift).at[2].add(manner.rise)
    return [*moves, Move(top, yaw, duration(held, top, manner.lift_speed, 12.0), 0.0)]


def put_down(
    manner: Manner, top: jax.Array, centre: jax.Array, yaw: jax.Array, base: jax.Array
) -> list[Move]:
    """Moves of a hand from `top` (3,), a cube in it, to where that is centred at `centre` (3,).

    Carry, lower, open and leave, at heading `yaw`; `base` (3,) is the arm's foot.
    """
    place = cube.pinch(manner.grasp, centre, yaw).at[:2].add(manner.miss).at[2].add(manner.drop)
    over = place.at[:2].add(manner.beside).at[2].add(manner.over)
    end = within_reach(place + manner.leave, base)
    return [
        Move(over, yaw, duration(top, over, manner.carry_speed, 16.0), 0.0, manner.carry_bow),
        Move(place, yaw, duration(over, place, manner.lower_speed, 10.0), 0.0),
        Move(place, yaw, jnp.floor(manner.release), 1.0),
        Move(end, yaw, duration(place, end, manner.leave_speed, 12.0), 1.0),
    ]
