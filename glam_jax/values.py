"""What each value of a run's config may be, and what of the run follows from it.

One description of each key. From it come the check of a whole config before anything is done, the
columns of the reference page, and the answer to whether a run may be continued with another value.
"""

import dataclasses
import fnmatch
import functools
import math
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from glam_jax import config as configs
from glam_jax import schema
from glam_jax.errors import ConfigError
from glam_jax.kinds import Anything, Choice, Number, Several, Text, above, whole

# --- Descriptions -----------------------------------------------------------------------

# What follows from a value. What a run has learnt with one must not be continued with another.
BOTH, STAGE1, STAGE2 = "both stages", "stage 1", "stage 2"
RESULTS, NOTHING = "the results", "nothing"


@dataclasses.dataclass(frozen=True)
class Value:
    """A key of a config.

    Attributes:
      allowed: the kind of its values.
      decides: what follows from it; NOTHING where a run learns and measures the same with another.
      length: whether it is the length of a training, which may be continued to another one.
    """

    allowed: Any
    decides: str
    length: bool = False


SHARE, YES_NO = Number(0, 1), Choice((True, False))
PRECISION = Choice(("float32", "bfloat16"))
# Encoder of the policy -> the sides of pictures that it takes are multiples of this many pixels.
ENCODERS = {"conv": 8, "dinov2": 14}


def _training(stage: str, decides: str) -> dict[str, Value]:
    """The keys that the sections of both stages have."""
    own = {
        "steps": Value(whole(1), decides, length=True),
        "batch": Value(whole(1), decides),
        "accumulate": Value(whole(1), NOTHING),
        "compute": Value(PRECISION, decides),
        "target_share": Value(SHARE, decides),
        "learning_rate": Value(above(0), decides),
        "matrix_learning_rate": Value(Number(0), decides),
        "warmup_steps": Value(whole(0), decides),
        "weight_decay": Value(Number(0), decides),
        "clip": Value(above(0), decides),
        "ema_decay": Value(SHARE, decides),
        "weights.*": Value(Number(0), decides),
        "log_every": Value(whole(1), NOTHING),
        "evaluate_every": Value(whole(1), NOTHING),
        "save_every": Value(whole(1), NOTHING),
        "steps_per_call": Value(whole(1), NOTHING),
    }
    return {f"{stage}.{key}": value for key, value in own.items()}


# Key, or pattern of keys -> its description; of several patterns the first counts.
VALUES = {
    "task": Value(Text(), BOTH),
    "method": Value(Choice(configs.METHODS), BOTH),
    "scale": Value(Choice(configs.SCALES), BOTH),
    "seed": Value(whole(0), BOTH),
    "image_size": Value(whole(8), BOTH),
    "world_model_from": Value(Text(some=False), STAGE2),
    "data.root": Value(Text(), NOTHING),
    "data.target": Value(Text(), BOTH),
    "data.target_episodes": Value(whole(1), BOTH),
    "data.views": Value(Several(Text(), apart=True), BOTH),
    "data.auxiliary.*": Value(whole(0), BOTH),
    "data.broken": Value(Text(some=False), BOTH),
    "data.heldout_episodes": Value(whole(1), RESULTS),
    "data.resident_bytes": Value(whole(0, math.inf), NOTHING),
    "world_model.modality": Value(Choice(tuple(schema.MODALITIES)), STAGE1),
    "world_model.latent": Value(whole(1), STAGE1),
    "world_model.visual": Value(whole(2), STAGE1),
    "world_model.channels": Value(Several(whole(1), least=1), STAGE1),
    "world_model.width": Value(whole(1), STAGE1),
    "world_model.*_blocks": Value(whole(0), STAGE1),
    "world_model.reconstruct_share": Value(above(0, 1), STAGE1),
    "world_model.decoder_layers": Value(whole(1), STAGE1),
    "world_model.alignment": Value(Choice(("asymmetric", "symmetric", "none")), STAGE1),
    "world_model.action_loss_on": Value(Choice(("action_encoder", "idm")), STAGE1),
    "world_model.codes": Value(whole(1), STAGE1),
    "world_model.codebook_size": Value(whole(2), STAGE1),
    **_training("pretrain", STAGE1),
    "pretrain.window": Value(whole(2), STAGE1),
    "pretrain.reseed_every": Value(whole(1), STAGE1),
    "pretrain.reseed_until": Value(SHARE, STAGE1),
    "policy.chunk": Value(whole(1), STAGE2),
    "policy.proprio": Value(Choice(("ee_pose", "joints")), STAGE2),
    "policy.encoder": Value(Choice(tuple(ENCODERS)), STAGE2),
    "policy.view_size": Value(whole(0), STAGE2),
    "policy.channels": Value(Several(whole(1), count=3), STAGE2),
    "policy.features": Value(whole(1), STAGE2),
    "policy.dinov2_weights": Value(Text(some=False), STAGE2),
    "policy.dinov2_offset": Value(SHARE, STAGE2),
    "policy.dinov2_dtype": Value(PRECISION, STAGE2),
    "policy.dinov2_remat": Value(YES_NO, NOTHING),
    "policy.hidden": Value(whole(2), STAGE2),
    "policy.condition": Value(whole(2), STAGE2),
    "policy.layers": Value(whole(2), STAGE2),
    "policy.width": Value(whole(1), STAGE2),
    "policy.decoder_layers": Value(whole(1), STAGE2),
    "policy.pose_noise": Value(Number(0), STAGE2),
    "policy.shift_pixels": Value(whole(0), STAGE2),
    "policy.shading": Value(Number(0), STAGE2),
    "policy.colour_jitter": Value(SHARE, STAGE2),
    **_training("clone", STAGE2),
    "evaluate.trials": Value(whole(1), RESULTS),
    "evaluate.first_seed": Value(whole(1_000_000, 2_000_000_000), RESULTS),
    "evaluate.execute": Value(whole(1), RESULTS),
    "evaluate.batch": Value(whole(1), NOTHING),
    "evaluate.film": Value(whole(0), RESULTS),
    "replay.episodes": Value(whole(1), NOTHING),
    "replay.robot": Value(Text(), NOTHING),
    "audit.decoded_error_*": Value(above(0), NOTHING),
    "audit.latent_distance": Value(SHARE, NOTHING),
    "audit.classifier_auc": Value(Number(0.5, 1), NOTHING),
    "audit.inside_range": Value(SHARE, NOTHING),
    "audit.forward_*": Value(above(0), NOTHING),
    "audit.visual_against_target": Value(above(0), NOTHING),
    "audit.held_offset_mm": Value(above(0), NOTHING),
    "audit.held_opening": Value(above(0, 1), NOTHING),
    "audit.replay_lower": Value(SHARE, NOTHING),
    "audit.range_quantile": Value(above(0, 1), NOTHING),
    "audit.permutations": Value(whole(1), NOTHING),
    "own.arms": Value(Choice((1, 2)), BOTH),
    "own.arm_*": Value(whole(1), BOTH),
    "own.action_kind": Value(Choice(schema.ACTION_KINDS), BOTH),
    "own.joins_target": Value(Several(Text(), apart=True), BOTH),
    "own.rate_hz": Value(above(0), BOTH),
    "own.sources.*.path": Value(Text(), NOTHING),
    "own.sources.*": Value(Anything(), BOTH),
}


def of(key: str) -> Value | None:
    """The description of a key with dots, None if there is none."""
    if key in VALUES:
        return VALUES[key]
    return next((v for pattern, v in VALUES.items() if fnmatch.fnmatchcase(key, pattern)), None)


# --- The check --------------------------------------------------------------------------


def check(config: ConfigDict) -> None:
    """Finds the values of a run's config that are not possible, else those that are not so beside
    the others.

    Raises:
      ConfigError: it is no config of a run, lacks a key, or has such values; names each on a line
        of its own, with what was found and what would be right.
    """
    found = configs.flat(config)
    for key in ("task", "method", "scale"):
        if key not in found:
            raise ConfigError(f"--config is no config of a run: it has no {key}; see configs/")
        check_one(key, found[key])
    _check_keys(config, found)
    alone = [_alone(key, value) for key, value in found.items()]
    if wrong := [*filter(None, alone)] or [*_together(config)]:
        raise ConfigError("\n".join(wrong))


def check_one(key: str, value: Any) -> None:
    """Raises ConfigError if a key has a value that is not possible."""
    if wrong := _alone(key, value):
        raise ConfigError(wrong)


def _alone(key: str, value: Any) -> str:
    """What is wrong with the value of a key, whatever the others are; "" if nothing is."""
    allowed = of(key).allowed
    return "" if allowed.accepts(value) else f"{key} is {value!r}; expected {allowed}"


def _check_keys(config: ConfigDict, found: dict[str, Any]) -> None:
    """Raises ConfigError unless a config has the keys of its method."""
    wanted = _keys(config.method)
    different = sorted(wanted ^ found.keys())
    for key in (k for k in different if not k.startswith(("data.auxiliary.", "own."))):
        has = "lacks" if key in wanted else "has"
        raise ConfigError(
            f"method is {config.method}, but the config {has} {key}; {_choose(config)}"
        )


@functools.cache
def _keys(method: str) -> frozenset[str]:
    return frozenset(configs.flat(configs.make("lifting", f"method={method}")))


def _choose(config: ConfigDict) -> str:
    at = f"--config=configs/{config.task}.py:method={config.method}"
    return f"choose the method with the task: {at}"


def _together(config: ConfigDict) -> Iterator[str]:
    """What is wrong with values beside each other."""
    for stage in ("pretrain", "clone"):
        steps, warmup = config[stage].steps, config[stage].warmup_steps
        if warmup >= steps:
            yield (
                f"{stage}.steps is {steps}, not above {stage}.warmup_steps={warmup}; expected at "
                f"least {warmup + 1}, or a warm-up of at most {steps - 1}"
            )
    chunk, execute = config.policy.chunk, config.evaluate.execute
    if execute > chunk:
        yield f"evaluate.execute is {execute}; expected at most policy.chunk={chunk}"
    if config.policy.shift_pixels >= config.image_size:
        yield (
            f"policy.shift_pixels is {config.policy.shift_pixels}; expected fewer than "
            f"image_size={config.image_size}"
        )
    yield from _of_the_task(config)
    yield from _of_the_world_model(config)
    yield from _of_pictures(config)
    yield from _of_shares(config)


def _of_the_task(config: ConfigDict) -> Iterator[str]:
    if "own" not in config:
        if config.task not in configs.TASKS:
            yield f"task is {config.task!r}; expected {Choice(configs.TASKS)}"
        return
    for name in config.own.joins_target:
        if not config.data.auxiliary.get(name):
            yield f"own.joins_target names {name!r}, which has no episodes in data.auxiliary"


def _of_the_world_model(config: ConfigDict) -> Iterator[str]:
    model = config.world_model
    if (1 / model.reconstruct_share) % 1:
        yield (
            f"world_model.reconstruct_share is {model.reconstruct_share}; expected one over a "
            "whole number, such as 0.25"
        )
    if model.latent % model.get("codes", 1):
        yield (
            f"world_model.latent is {model.latent}; expected a multiple of "
            f"world_model.codes={model.codes}"
        )
    sees = "mask" if config.method.endswith("_o") else "rgb"
    if config.method != "mip" and model.modality != sees:
        yield (
            f"world_model.modality is {model.modality!r}; method {config.method} sees {sees!r}; "
            f"{_choose(config)}"
        )


def _of_pictures(config: ConfigDict) -> Iterator[str]:
    """Sides that an encoder does not take."""
    policy, halvings = config.policy, len(config.world_model.channels)
    takers = {"image_size": {}, "policy.view_size": {}}
    if config.method != "mip":
        takers["image_size"][f"{halvings} world_model.channels (each halves it)"] = 2**halvings
    seen = "policy.view_size" if policy.view_size else "image_size"
    takers[seen][f"policy.encoder={policy.encoder}"] = ENCODERS[policy.encoder]
    for key, side in (("image_size", config.image_size), ("policy.view_size", policy.view_size)):
        multiple = math.lcm(*takers[key].values())
        if side % multiple:
            near = max(1, round(side / multiple)) * multiple
            yield (
                f"{key} is {side}; expected a multiple of {multiple}, such as {near}, for "
                f"{' and '.join(takers[key])}"
            )


def _of_shares(config: ConfigDict) -> Iterator[str]:
    """Shares of rows for which there is no source, or from which nothing is learnt."""
    data, joined = config.data, config.own.joins_target if "own" in config else ()
    auxiliary = sum(n for name, n in data.auxiliary.items() if name not in joined)
    trains = config.method != "mip" and not config.world_model_from
    for stage in ("pretrain", "clone") if trains else ("clone",):
        share = config[stage].target_share
        found = f"{stage}.target_share is {share}; expected"
        if share < 1 and not auxiliary:
            yield f"{found} 1.0, as data.auxiliary has no episodes of another source"
        if share < 1 and config.method == "mip":
            yield f"{found} 1.0, as mip learns robot actions alone; {_choose(config)}"
        if share == 0 and (stage == "clone" or not config.method.startswith("lapa")):
            yield f"{found} more, as only the target's rows have robot actions"
