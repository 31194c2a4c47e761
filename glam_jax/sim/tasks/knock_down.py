"""Knocking down: push over a mustard bottle, which falls only across its narrow side."""

import jax
import jax.numpy as jnp

from glam_jax.sim.scenes import Solid, Thing
from glam_jax.sim.tasks.path import Move, Path, duration, through, within_reach
from glam_jax.sim.tasks.task import Situation, Start, Task, uniform

WIDE, NARROW = 0.048, 0.028  # m, half the body along its x and along its y
BODY = 0.065  # m, half the height of the body
CAP, TOP = 0.02, 0.166  # m: radius of the cap; where it ends above the table
TILT = jnp.pi / 3  # rad from the vertical: farther over, the bottle lies
TURN = 1.05  # rad, most yaw of the bottle
GAP, REACHED = 0.11, 0.60  # m: of the push's beginning, from the bottle and at most from the arm
FRICTION = 0.45  # sliding, at the table and at the fingers
_YELLOW, _RED = (0.95, 0.75, 0.05, 1.0), (0.85, 0.2, 0.1, 1.0)
_ALONG_X = (0.5**0.5, 0.0, 0.5**0.5, 0.0)  # w, x, y, z: turns the z axis to the x axis


def bottle(name: str) -> Thing:
    """A mustard bottle, its frame in the middle of its body.

    With friction mu at the table and at the finger, a push at height h slides it once the force
    is m g mu / (1 - mu^2), and tips it over an edge b off the middle once the force is
    m g b / (h - 2 mu b). It does what takes less: at mu = 0.45 and h = 0.11 m, sliding takes
    0.56 m g, tipping 0.33 m g across the narrow side and 0.72 m g along the wide one.
    """
    body = Solid("box", (WIDE, NARROW, BODY), 0.25, _YELLOW, friction=FRICTION)
    # Never the first to touch: above the body and narrower.
    shoulders = Solid(
        "capsule", (0.022, 0.018), 0.03, _YELLOW, (0, 0, BODY), _ALONG_X, FRICTION, collides=False
    )
    cap = Solid("sphere", (CAP,), 0.01, _RED, (0, 0, TOP - CAP - BODY), friction=FRICTION)
    return Thing(name, (body, shoulders, cap))


def sample(key: jax.Array) -> Start:
    """Bottle standing on the table, hand in the space above, higher than the cap wherever it is.

    The push goes to the arm's left. The bottle is turned at most `TURN` from facing the arm, for
    one that is turned by half a turn looks almost the same and would be pushed the other way; and
    no farther than lets the push begin within reach.
    """
    stand = uniform(jax.random.fold_in(key, 0), [0.36, -0.20, 0.0], [0.57, 0.20, 1.0])
    hand = uniform(jax.random.fold_in(key, 1), [0.36, -0.16, 0.215, -0.4], [0.54, 0.16, 0.34, 0.4])
    position = jnp.stack([stand[0], stand[1], jnp.float32(BODY)])
    yaw = -TURN + stand[2] * (jnp.minimum(TURN, _most_yaw(stand[:2])) + TURN)
    return Start(position[None], yaw[None], hand[None, :3], hand[3:])


def _most_yaw(position: jax.Array) -> jax.Array:
    """The yaw of a bottle at (2,) for which a push begins `REACHED` from the arm, `GAP` before it.

    |p - g l| = R with l = (-sin yaw, cos yaw), the direction of the push, and p = r (cos phi,
    sin phi): r^2 + g^2 + 2 r g sin(yaw - phi) = R^2.
    """
    far = jnp.linalg.norm(position)
    sine = (REACHED**2 - far**2 - GAP**2) / (2.0 * far * GAP)
    return jnp.arctan2(position[1], position[0]) + jnp.arcsin(jnp.clip(sine, -1.0, 1.0))


def is_lying(now: Situation) -> jax.Array:
    """The bottle's own vertical is more than 60 degrees off the vertical."""
    return now.rotation[0, 2, 2] < jnp.cos(TILT)


def push_direction(start: Start) -> jax.Array:
    """Unit vector (3,), level, in which the bottle is pushed over: across its narrow side, to the
    arm's left."""
    yaw = start.object_yaw[0]
    return jnp.stack([-jnp.sin(yaw), jnp.cos(yaw), jnp.zeros(())])


def plan(key: jax.Array, start: Start, steps: int) -> Path:
    """Close the fingers, go beside the bottle, push across its narrow side, retreat.

    Varied: how far and how high above the stand-off the descent begins, bow, speeds, stand-off,
    height and travel of the push, where on the bottle's side, dwell, retreat.
    """
    low = [0.225, -0.05, 0.15, 0.09, 0.085, 0.110, -0.008, 0.05, 0.09, 1.0, 0.03, 0.00, -0.08]
    high = [0.29, 0.05, 0.24, 0.15, 0.115, 0.120, 0.008, 0.07, 0.13, 4.0, 0.09, 0.08, 0.08]
    draw = uniform(key, low, high)
    above, bow, reach_speed, down_speed, gap, height = draw[:6]
    aside, past, push_speed, dwell, back, up, turn = draw[6:]
    bottle_at, home, yaw = start.object_position[0], start.tcp_position[0], start.object_yaw[0]
    forward = push_direction(start)
    side = jnp.stack([-forward[1], forward[0], jnp.zeros(())])

    middle = jnp.append(bottle_at[:2], height) + aside * side
    begin = middle - gap * forward
    end = within_reach(middle + past * forward)
    over = begin.at[2].set(above)
    away = within_reach(end - back * forward + jnp.stack([0.0, 0.0, up]))
    yaw = yaw + turn
    moves = [
        Move(over, yaw, duration(home, over, reach_speed, 14.0), 0.0, bow),
        Move(begin, yaw, duration(over, begin, down_speed, 10.0), 0.0),
        Move(end, yaw, duration(begin, end, push_speed, 14.0), 0.0),
        Move(end, yaw, jnp.floor(dwell), 0.0),
        Move(away, yaw, duration(end, away, reach_speed, 10.0), 0.0),
    ]
    return through(home, start.tcp_yaw[0], moves, steps)


KNOCK_DOWN = Task(
    name="knock_down",
    arms=1,
    objects=(bottle("bottle"),),
    sample=sample,
    condition=is_lying,
    hold_steps=5,
    horizon=160,
    plan=plan,
    plan_steps=140,
    in_the_field=True,
)
