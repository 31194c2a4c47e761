"""Stacking three with two arms: red on blue by the left arm, green on red by the right arm."""

import jax
import jax.numpy as jnp

from glam_jax.sim import scenes
from glam_jax.sim.tasks import cube, stacking
from glam_jax.sim.tasks.path import (
    Move,
    Path,
    duration,
    is_within_reach,
    nearest_quarter_turn,
    through,
    together,
    within_reach,
)
from glam_jax.sim.tasks.task import Situation, Start, Task, first_clear, uniform

RED, GREEN, BLUE = 0, 1, 2
LEFT, RIGHT = 0, 1  # left is y > 0
BASES = scenes.bases(2)

# (x, y, yaw) of the red, green and blue cube: red and green each before its arm, blue between.
_CUBES_FROM = [[0.36, 0.11, -cube.TURN], [0.36, -0.25, -cube.TURN], [0.36, -0.04, -cube.TURN]]
_CUBES_TO = [[0.58, 0.25, cube.TURN], [0.58, -0.11, cube.TURN], [0.48, 0.04, cube.TURN]]
# x, |y|, z of where a hand is out of the other's way: it starts, waits and ends there.
_ASIDE_FROM, _ASIDE_TO = [0.35, 0.20, 0.19], [0.50, 0.26, 0.30]


def sample(key: jax.Array) -> Start:
    """A cube before each arm and one between them, the hands at their sides."""
    cubes = first_clear(jax.random.fold_in(key, 0), _draw_cubes, _is_clear)
    position = jnp.concatenate([cubes[:, :2], jnp.full((3, 1), cube.HALF)], axis=1)
    hands = jnp.stack([_aside(jax.random.fold_in(key, 1 + arm), arm) for arm in (LEFT, RIGHT)])
    turn = uniform(jax.random.fold_in(key, 3), [-0.4, -0.4], [0.4, 0.4])
    return Start(position, cubes[:, 2], hands, turn)


def _draw_cubes(key):
    return uniform(key, _CUBES_FROM, _CUBES_TO)


def _is_clear(cubes):
    place = cubes[:, :2]
    apart = jnp.linalg.norm(place[:, None] - place[None], axis=-1) + jnp.eye(3)
    reached = is_within_reach(place[jnp.array([RED, BLUE])], BASES[LEFT])
    also = is_within_reach(place[jnp.array([GREEN, BLUE])], BASES[RIGHT])
    return jnp.all(apart > stacking.APART) & jnp.all(reached & also)


def _aside(key, arm):
    """A position (3,) of the hand of `arm` at its side."""
    position = uniform(key, _ASIDE_FROM, _ASIDE_TO)
    return position if arm == LEFT else position.at[1].multiply(-1.0)


def is_stacked(now: Situation) -> jax.Array:
    """Green rests on red, red on blue, and both open grippers have left all three."""
    stacked = stacking.rests_on(now, RED, BLUE) & stacking.rests_on(now, GREEN, RED)
    pairs = [(arm, thing) for arm in (LEFT, RIGHT) for thing in (RED, GREEN, BLUE)]
    return stacked & jnp.all(jnp.stack([stacking.has_left(now, *pair) for pair in pairs]))


def plan(key: jax.Array, start: Start, steps: int) -> Path:
    """Both arms grasp at once; red goes on blue while green waits aside, then green on red.

    The arms take turns in the middle: left goes there when right is aside, and the other way
    round. `stacking.Manner`, where the hands are aside and how long right hesitates vary.
    """
    keys = jax.random.split(key, 5)
    yaws = nearest_quarter_turn(start.object_yaw, 0.0)
    red, green, blue = start.object_position
    left, right = stacking.draw_manner(keys[0]), stacking.draw_manner(keys[1])
    # Straight up first, off the cube; the way aside begins above it.
    left = left._replace(leave=left.leave * jnp.array([0.2, 0.2, 0.6]))
    # Green is lifted to where it waits, higher than red will be; right leaves away from left.
    wait, up = _aside(keys[2], RIGHT), right.rise + 0.05
    away = right.leave.at[1].set(-jnp.abs(right.leave[1]))
    right = right._replace(drift=wait[:2] - green[:2], rise=up, leave=away)

    ours = stacking.pick_up(left, start.tcp_position[LEFT], red, yaws[RED])
    theirs = stacking.pick_up(right, start.tcp_position[RIGHT], green, yaws[GREEN])
    ours.append(_wait(ours, until=_time(theirs)))
    onto = blue.at[2].add(2 * cube.HALF)
    ours += stacking.put_down(left, ours[-1].position, onto, yaws[BLUE], BASES[LEFT])
    ours.append(_leave(ours[-1], _aside(keys[3], LEFT), left.leave_speed))
    hesitation = jnp.floor(uniform(keys[4], 0.0, 7.99))
    theirs.append(_wait(theirs, until=_time(ours) + hesitation))
    onto = blue.at[2].add(4 * cube.HALF)
    theirs += stacking.put_down(right, theirs[-1].position, onto, yaws[BLUE], BASES[RIGHT])
    return together(
        through(start.tcp_position[LEFT], start.tcp_yaw[LEFT], ours, steps),
        through(start.tcp_position[RIGHT], start.tcp_yaw[RIGHT], theirs, steps),
    )


def _time(moves):
    """Control steps that the moves take together."""
    return sum(move.steps for move in moves)


def _wait(moves, until):
    """A wait at the end of `moves`, of one step or as long as it takes until then."""
    return moves[-1]._replace(steps=jnp.maximum(until - _time(moves), 1.0), bow=0.0)


def _leave(last, aside, speed):
    position = within_reach(aside, BASES[LEFT])
    return Move(position, last.yaw, duration(last.position, position, speed, 14.0), 1.0)


STACK_THREE = Task(
    name="stack_three",
    arms=2,
    objects=(
        cube.cube("red", 0.85, 0.1, 0.1),
        cube.cube("green", 0.1, 0.65, 0.15),
        cube.cube("blue", 0.1, 0.2, 0.85),
    ),
    sample=sample,
    condition=is_stacked,
    hold_steps=10,
    horizon=420,
    plan=plan,
    plan_steps=350,
    cameras=scenes.SHARED,
    # Both hands hold a cube (16 points, 4 pairs) and all cubes lie on something (12 points).
    contact_limits=scenes.ContactLimits(pairs=8, points=32),
)
