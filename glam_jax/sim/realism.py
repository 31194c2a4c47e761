"""`kinova_real`, the simulated stand-in for a real arm: all that sets it apart from `kinova`.

It is simulation too. What a real arm would bring is put on top of the clean one, with the
numbers in one place, `STAND_IN`: other looks that vary by episode, a camera that is not quite
where it should be, sensor noise, other friction and gains, commands that arrive late, and
demonstrators who hesitate and whose hands are not steady. `FIELD` are the looks of hand-held
recordings that are made in many places.
"""

import dataclasses
from collections.abc import Callable, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from glam_jax.sim.render import Look, Pattern, default_look

Rgb = tuple[float, float, float]
Metres = tuple[float, float, float]
Gains = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Visual:
    """What its pictures differ in. Masks differ by the cameras' places alone.

    Attributes:
      hand, finger: colours of the arm or handle with its palm, and of the fingers.
      table, background: colours. tint: factors on the objects' colours.
      light: vector towards the light. ambient: brightness on the side turned away from it.
      light_jitter, ambient_jitter: largest change in an episode, of each component of the unit
        vector and of the brightness.
      colour_jitter: largest relative change of each colour channel in an episode.
      thing_jitter: the same for each nominal colour by itself: geoms painted alike change alike.
      waves: of colour, on the table; `render.Pattern`. wave_length: shortest and longest (m).
      wave_contrast: largest relative change of each colour channel by one of them.
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
    thing_jitter: float
    waves: int
    wave_length: tuple[float, float]
    wave_contrast: float
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
        light_jitter=0.5,
        ambient_jitter=0.15,
        colour_jitter=0.2,
        thing_jitter=0.15,
        waves=4,
        wave_length=(0.03, 0.30),
        wave_contrast=0.25,
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


# Hand-held grippers go where the things are: each recording has its own table and light.
_NOWHERE = dict.fromkeys(STAND_IN.visual.camera_position, (0.0, 0.0, 0.0))
FIELD = dataclasses.replace(
    STAND_IN.visual,
    hand=(0.97, 0.97, 0.97),
    finger=(1.0, 0.45, 0.05),
    table=(0.45, 0.50, 0.55),
    background=(0.62, 0.70, 0.78),
    tint=(1.0, 1.0, 1.0),
    light=(0.35, 0.45, 0.85),
    ambient=0.35,
    camera_position=_NOWHERE,
    camera_target=_NOWHERE,
)


@flax.struct.dataclass
class Condition:
    """The part of one world's state that only worlds with varied looks have.

    Attributes:
      draw: (2,) uint32, what the looks of the episode and its noise follow from.
      late: (latency, U) actuator targets under way, the next to arrive first.
    """

    draw: jax.Array
    late: jax.Array


def start(latency: int, key: jax.Array, held: jax.Array) -> Condition:
    """The condition of a new episode with its key, while the actuators hold targets (U,)."""
    late = jnp.broadcast_to(held, (latency, *held.shape))
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
    paints, paint_of = np.unique(colours, axis=0, return_inverse=True)
    paint_of = paint_of.reshape(-1)
    colours, light = jnp.asarray(colours), jnp.asarray(light, jnp.float32)
    background = jnp.asarray(visual.background, jnp.float32)

    def look(draw):
        key = _key(draw)
        jitter = jax.random.uniform(key, (7,), minval=-1.0, maxval=1.0)
        cast = 1.0 + visual.colour_jitter * jitter[:3]
        own = jax.random.fold_in(key, _OF_THINGS)
        own = jax.random.uniform(own, paints.shape, minval=-1.0, maxval=1.0)[paint_of]
        return Look(
            colours=jnp.clip(colours * cast * (1.0 + visual.thing_jitter * own), 0.0, 1.0),
            light=light + visual.light_jitter * jitter[3:6],
            ambient=visual.ambient + visual.ambient_jitter * jitter[6],
            background=jnp.clip(background * cast, 0.0, 1.0),
            pattern=_pattern(visual, jax.random.fold_in(key, _OF_WAVES)),
        )

    return look


def _pattern(visual: Visual, key: jax.Array) -> Pattern:
    """Waves along the table in any direction; lengths even in their logarithm."""
    low, high = np.log(visual.wave_length)
    even = jax.random.uniform(key, (visual.waves, 6))
    turn, phase = 2 * jnp.pi * even[:, 0], even[:, 1]
    cycles = jnp.exp(-(low + (high - low) * even[:, 2]))
    along = jnp.stack([jnp.cos(turn), jnp.sin(turn), jnp.zeros_like(turn)], axis=-1)
    return Pattern(cycles[:, None] * along, phase, visual.wave_contrast * (2 * even[:, 3:] - 1))


# Of keys, beside the control steps that key the noise.
_OF_THINGS, _OF_WAVES = 2**32 - 1, 2**32 - 2
# Standard deviation of the sum of two numbers that are each even over 0 to 31.
_TWO_EVEN = np.sqrt(2 * (32**2 - 1) / 12)


def sensor_noise(rgb: jax.Array, draw: jax.Array, step: jax.Array, deviation: float) -> jax.Array:
    """Pictures (..., 3) uint8 with noise of a standard deviation in levels, at a control step.

    Each colour channel takes 10 bits of its pixel's random word, the sum of two numbers of 5:
    making the words is what noise costs. Whole numbers come out alike wherever it runs.
    """
    key = jax.random.fold_in(_key(draw), step)
    word = jax.random.bits(key, (*rgb.shape[:-1], 1), jnp.uint32)
    ten = word >> (10 * jnp.arange(3, dtype=jnp.uint32))
    total = ((ten & 31) + ((ten >> 5) & 31)).astype(jnp.int32) - 31
    noise = jnp.round(total * np.float32(deviation / _TWO_EVEN)).astype(jnp.int32)
    return jnp.clip(rgb.astype(jnp.int32) + noise, 0, 255).astype(jnp.uint8)


def _key(draw):
    # The generator is named because looks must not follow a global option.
    return jax.random.wrap_key_data(draw, impl="threefry2x32")
