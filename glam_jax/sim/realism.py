"""`kinova_real`, the simulated stand-in for a real arm: all that sets it apart from `kinova`.

It is simulation too. What a real arm would bring is put on top of the clean one, with the
numbers in one place, `STAND_IN`: other looks, a camera that is not quite where it should be,
sensor noise, other friction and gains, commands that arrive late, and demonstrators who hesitate
and whose hands are not steady.
"""

import dataclasses
from collections.abc import Callable, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from glam_jax.sim.render import Look, default_look

Rgb = tuple[float, float, float]
Metres = tuple[float, float, float]
Gains = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Visual:
    """What its pictures differ in. Masks differ by the cameras' places alone.

    Attributes:
      hand, finger: colours of the arm with its palm, and of the fingers.
      table, background: colours. tint: factors on the objects' colours.
      light: vector towards the light. ambient: brightness on the side turned away from it.
      light_jitter, ambient_jitter: largest change in an episode, of each component of the unit
        vector and of the brightness.
      colour_jitter: largest relative change of each colour channel in an episode.
      camera_position, camera_target: by how much each view's camera stands, and looks, beside
        its nominal place (m). Fixed: a calibration that is a little off.
      noise: standard deviation of a pixel's noise in each frame, in levels of 255.
    """

    hand: Rgb
    finger: Rgb
    table: Rgb
    background: Rgb
    tint: Rgb
    light: tuple[float, float, float]
    ambient: float
    light_jitter: float
    ambient_jitter: float
    colour_jitter: float
    camera_position: dict[str, Metres]
    camera_target: dict[str, Metres]
    noise: float


@dataclasses.dataclass(frozen=True)
class Dynamic:
    """What its motion differs in.

    Attributes:
      friction: factor on the sliding friction of every contact.
      latency: control steps (50 ms) by which a command is late; until the first one arrives,
        the arm holds its start.
      gains: (kp N m/rad, kv, largest torque N m) per joint.
      finger_gains: (kp N/m, kv, largest force N) of each finger.
      armature: reflected inertia of each joint's drive, kg m^2.
    """

    friction: float
    latency: int
    gains: tuple[Gains, ...]
    finger_gains: Gains
    armature: float


@dataclasses.dataclass(frozen=True)
class Demonstrator:
    """How whoever demonstrates differs from a clean script.

    Attributes:
      pause_chance: that a wait follows a move.
      pause_steps: shortest and longest wait, control steps.
      most_paused: control steps that the waits of an episode add up to at most; plans and
        horizons are longer by as many.
      wobble: largest deviation of the hand from its path along x, y and z (m).
      wobble_hz: lowest and highest frequency of it.
    """

    pause_chance: float
    pause_steps: tuple[int, int]
    most_paused: int
    wobble: Metres
    wobble_hz: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Realism:
    """All that sets a stand-in for a real robot apart from its clean simulation."""

    visual: Visual
    dynamic: Dynamic
    demonstrator: Demonstrator


STAND_IN = Realism(
    visual=Visual(
        hand=(0.66, 0.68, 0.74),
        finger=(0.19, 0.18, 0.17),
        table=(0.54, 0.49, 0.42),
        background=(0.56, 0.55, 0.52),
        tint=(0.90, 1.10, 1.15),
        light=(-0.30, 0.60, 0.75),
        ambient=0.42,
        light_jitter=0.15,
        ambient_jitter=0.06,
        colour_jitter=0.06,
        camera_position={"front": (0.012, -0.010, 0.008), "overhead": (-0.010, 0.012, 0.006)},
        camera_target={"front": (0.0, 0.005, -0.004), "overhead": (0.005, -0.004, 0.0)},
        noise=4.0,
    ),
    dynamic=Dynamic(
        friction=0.9,
        latency=1,
        gains=((1600.0, 95.0, 105.0),) * 4 + ((420.0, 25.0, 52.0),) * 3,
        finger_gains=(1000.0, 110.0, 30.0),
        armature=0.1,
    ),
    demonstrator=Demonstrator(
        pause_chance=0.6,
        pause_steps=(2, 12),
        most_paused=40,
        wobble=(0.004, 0.004, 0.002),
        wobble_hz=(0.15, 0.6),
    ),
)


@flax.struct.dataclass
class Condition:
    """The part of one world's state that only a stand-in has.

    Attributes:
      draw: (2,) uint32, what the looks of the episode and its noise follow from.
      late: (latency, U) actuator targets under way, the next to arrive first.
    """

    draw: jax.Array
    late: jax.Array


def start(dynamic: Dynamic, key: jax.Array, held: jax.Array) -> Condition:
    """The condition of a new episode with its key, while the actuators hold targets (U,)."""
    late = jnp.broadcast_to(held, (dynamic.latency, *held.shape))
    return Condition(jax.random.bits(key, (2,), jnp.uint32), late)


def delayed(condition: Condition, sent: jax.Array) -> tuple[jax.Array, Condition]:
    """The targets (U,) that arrive now that others (U,) are sent, and the condition after."""
    queue = jnp.concatenate([condition.late, sent[None]])
    return queue[0], condition.replace(late=queue[1:])


def make_look(
    visual: Visual, model: mujoco.MjModel, objects: Sequence[int]
) -> Callable[[jax.Array], Look]:
    """(an episode's draw (2,)) -> its `Look`; `objects` are the geoms of the task's objects."""
    plain = default_look(model)
    colours = plain.colours.copy()
    colours[model.geom("table").id] = visual.table
    colours[objects] *= np.float32(visual.tint)
    light = np.float32(visual.light) / np.linalg.norm(visual.light)
    colours, light = jnp.asarray(colours), jnp.asarray(light, jnp.float32)
    background = jnp.asarray(visual.background, jnp.float32)

    def look(draw):
        jitter = jax.random.uniform(_key(draw), (7,), minval=-1.0, maxval=1.0)
        cast = 1.0 + visual.colour_jitter * jitter[:3]
        return Look(
            colours=jnp.clip(colours * cast, 0.0, 1.0),
            light=light + visual.light_jitter * jitter[3:6],
            ambient=visual.ambient + visual.ambient_jitter * jitter[6],
            background=jnp.clip(background * cast, 0.0, 1.0),
        )

    return look


# Standard deviation of the sum of four bytes that are each even over 0 to 255.
_FOUR_BYTES = np.sqrt(4 * (256**2 - 1) / 12)


def sensor_noise(rgb: jax.Array, draw: jax.Array, step: jax.Array, deviation: float) -> jax.Array:
    """Pictures (..., 3) uint8 with noise of a standard deviation in levels, at a control step.

    The four bytes of a random word add up to what is near enough a normal number, at a fraction
    of its cost; whole numbers come out alike wherever it runs.
    """
    key = jax.random.fold_in(_key(draw), step)
    word = jax.random.bits(key, rgb.shape, jnp.uint32)
    total = sum(((word >> shift) & 255).astype(jnp.int32) for shift in (0, 8, 16, 24)) - 510
    noise = jnp.round(total * np.float32(deviation / _FOUR_BYTES)).astype(jnp.int32)
    return jnp.clip(rgb.astype(jnp.int32) + noise, 0, 255).astype(jnp.uint8)


def _key(draw):
    # The generator is named because looks must not follow a global option.
    return jax.random.wrap_key_data(draw, impl="threefry2x32")
