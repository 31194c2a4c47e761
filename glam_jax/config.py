"""The resolved configuration of a run: task, method and scale to one locked ConfigDict.

Comments say what each key is; `values` says which values it may have.

`configs/TASK.py` hand their argument here: `--config=configs/lifting.py:method=glam_o,scale=quick`.
Values that follow from others are computed where they are used.
"""

import dataclasses
import sys
from typing import Any

from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.errors import ConfigError, did_you_mean

# World models: GLAM, CLAM, LAPA, each on RGB or (_o) on masks of the manipulated objects. MIP is
# the policy alone, on robot actions.
METHODS = ("glam_o", "glam", "clam_o", "clam", "lapa_o", "lapa", "mip")
# Methods that learn from the target's episodes alone, in both stages.
TARGET_METHODS = ("clam_o", "clam", "mip")
SCALES = ("quick", "standard", "paper")
DEFAULTS = {"method": "glam_o", "scale": "standard"}


@dataclasses.dataclass(frozen=True)
class TaskDefaults:
    """What a config must know of a simulated task.

    Attributes:
      target: source with robot actions by default, on which policies are evaluated.
      arms: as in the task's record of `sim.tasks`.
    """

    target: str
    arms: int


TASKS = {
    "lifting": TaskDefaults("kinova_real", arms=1),
    "pick_place": TaskDefaults("kinova_real", arms=1),
    "knock_down": TaskDefaults("kinova_real", arms=1),
    "stack_two": TaskDefaults("kinova", arms=1),
    "stack_three": TaskDefaults("kinova", arms=2),
}


def parse_argument(argument: str, defaults: dict[str, str] = DEFAULTS) -> dict[str, str]:
    """`method=NAME,scale=NAME` to a dict, with defaults for what is not said.

    Raises:
      ConfigError: an unknown key, method or scale; names the known ones.
    """
    chosen = dict(defaults)
    for part in filter(None, (argument or "").split(",")):
        key, _, value = part.partition("=")
        known = {"method": METHODS, "scale": SCALES}.get(key)
        if known is None:
            raise ConfigError(f"config argument {part!r}: expected method=NAME or scale=NAME")
        if value not in known:
            hint = did_you_mean(value, known)
            raise ConfigError(f"unknown {key} {value!r}; known: {', '.join(known)}{hint}")
        chosen[key] = value
    return chosen


def on_command_line(task: str, argument: str = "") -> ConfigDict:
    """`make`, ending the program with one line if the argument is wrong.

    For `get_config` in configs/: the flag's parser would wrap an exception in its traceback.
    """
    try:
        return make(task, argument)
    except ConfigError as error:
        sys.exit(f"error: {error}")


def make(task: str, argument: str = "") -> ConfigDict:
    """The config of a task, with every key present, locked.

    Raises:
      ConfigError: an unknown task, or a wrong argument (`parse_argument`).
    """
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}; known: {', '.join(TASKS)}")
    known = TASKS[task]
    return assemble(task, parse_argument(argument), _data(known.target), known.arms).lock()


def assemble(task: str, chosen: dict[str, str], data: ConfigDict, arms: int) -> ConfigDict:
    """The config of a task on given data, not locked; `chosen` as of `parse_argument`."""
    config = ConfigDict()
    config.task = task  # The task to do. The file in configs/ chooses it.
    config.method = chosen["method"]  # The world model, or mip for the policy alone.
    config.scale = chosen["scale"]  # Sizes and lengths: quick, standard or paper.
    config.seed = 0  # Seed of initial parameters, batches and noise in training.
    config.image_size = 64  # Side of the square images in pixels.
    # Run whose world model is used; the path is relative to this run's folder.
    config.world_model_from = ""

    config.data = data
    config.world_model = _world_model(config.method, arms)
    config.pretrain = _pretrain(config.method)
    config.policy = _policy()
    config.clone = _clone(config.method)
    config.evaluate = _evaluate()
    config.replay = _replay()
    config.audit = _audit()
    if config.scale == "quick":
        _make_quick(config, task, arms)
    if config.scale == "paper":
        _make_paper(config)
    leave_out_unused(config)
    if config.method == "mip":
        config.clone.weights.action = 0.0  # MIP's labels are the actions.
    return config


def leave_out_unused(config: ConfigDict) -> None:
    """Leaves out the auxiliary sources where the method learns from the target alone."""
    if config.method in TARGET_METHODS:
        for source in config.data.auxiliary:
            config.data.auxiliary[source] = 0
        config.pretrain.target_share = config.clone.target_share = 1.0


def flat(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Key with dots -> value, of all of a config."""
    found = {}
    for key, value in config.items():
        inner = isinstance(value, ConfigDict)
        found |= flat(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return found


def _data(target: str) -> ConfigDict:
    data = ConfigDict()
    data.root = "runs/data"  # Folder where datasets are recorded, or read if they exist.
    data.target = target  # Source with robot actions: kinova or kinova_real, both simulated.
    data.target_episodes = 100  # Training episodes of the target, with their actions.
    # Names of the cameras whose pictures are used; () uses all that the data have. In simulation
    # these are front, overhead and wrist, or with two arms wrist_left and wrist_right.
    data.views = ()
    # Source -> episodes. A row that is not from the target is a window of any of these episodes,
    # each equally likely.
    data.auxiliary = ConfigDict()
    data.auxiliary.umi = 400  # Training episodes without actions; 0 leaves the source out.
    data.auxiliary.kinova = 0  # Training episodes without actions; 0 leaves the source out.
    data.auxiliary.kinova_real = 0  # Training episodes without actions; 0 leaves the source out.
    # How auxiliary episodes are broken on purpose, to test the audit: a name of
    # demonstrations/breakage.py, or another task, whose episodes take their place.
    data.broken = ""
    data.heldout_episodes = 20  # Episodes of each source that are never trained on.
    # Most bytes of demonstrations in memory, on host and device together. Where there are more, the
    # pictures (first RGB, then masks) are kept in a file, from which batches are read.
    data.resident_bytes = 4 << 30
    return data


def _family(method: str) -> str:
    """The method whose world model's settings a config has; MIP has GLAM's, and no use for them."""
    return "glam" if method == "mip" else method.removesuffix("_o")


def _world_model(method: str, arms: int) -> ConfigDict:
    model = ConfigDict()
    # What the world model's images show. The method chooses it: mask where it ends in _o.
    model.modality = "mask" if method.endswith("_o") else "rgb"
    model.latent = schema.ACTION_DIM * arms  # d, the dimensions of z: 8 for each arm.
    model.visual = 128  # Y, the dimensions of the visual feature y.
    model.channels = (8, 16, 32, 64)  # Channels of the four convolutions.
    model.width = 256  # Width of every MLP.
    # ResMLP blocks of the inverse dynamics model and of the action encoder.
    model.posterior_blocks = 5
    model.forward_blocks = 4  # ResMLP blocks of the forward model.
    # Share of the rows, drawn at random, for which the image term is computed.
    model.reconstruct_share = 0.25
    family = _family(method)
    if family in ("glam", "clam"):
        model.decoder_layers = 4  # Layers of the action decoder.
    if family == "glam":
        model.proprio_blocks = 5  # ResMLP blocks of the proprioceptive forward model.
        model.alignment = "asymmetric"  # How the two posteriors are tied.
        model.action_loss_on = "action_encoder"  # Posterior whose sample the decoder reads.
    if family == "lapa":
        model.codes = 4  # m, the codes that make up one latent; d must be a multiple of it.
        model.codebook_size = 8  # K, the size of the codebook that all codes share.
    return model


def _pretrain(method: str) -> ConfigDict:
    run = ConfigDict()
    run.steps = 1500  # Updates.
    run.batch = 128  # Rows of a batch, shared out evenly over all devices.
    run.accumulate = 1  # Pieces into which a device's rows are cut, computed one after the other.
    run.compute = "float32"  # Precision of matrix products and convolutions.
    run.window = 2  # T, the frames of a window, which holds T - 1 transitions.
    run.target_share = 0.5  # Share of the rows that come from the target.
    # Peak learning rate of AdamW, after the warm-up and before the cosine.
    run.learning_rate = 1e-3
    # Peak learning rate of Muon for Linear layers; 0 uses AdamW for all.
    run.matrix_learning_rate = 1e-2
    run.warmup_steps = 200  # Updates during which both learning rates rise.
    run.weight_decay = 1e-5  # Weight decay of matrices, times the learning rate.
    run.clip = 100.0  # Largest norm of the gradient.
    run.ema_decay = 0.995  # Decay of the average of the parameters that is used after training.
    run.weights = _weights(_family(method))
    if _family(method) == "lapa":
        run.reseed_every = 20  # Updates between replacements of codes that the batch does not use.
        run.reseed_until = 0.5  # Share of the run after which codes are no longer replaced.
    run.log_every = 50  # Updates between rows of metrics.jsonl and TensorBoard.
    run.evaluate_every = 500  # Updates between measurements on held-out episodes.
    run.save_every = 500  # Updates between checkpoints.
    run.steps_per_call = 20  # Most updates of one call to the device, see `loop.LONGEST_CALL`.
    return run


def _weights(family: str) -> ConfigDict:
    """Weights of the terms of stage 1, docs/equations.md."""
    weights = ConfigDict()
    weights.image = 1.0  # Weight of the reconstruction of images from y.
    # Weight of the next visual feature, predicted with z of the inverse dynamics model.
    weights.forward_y = 1.0
    weights.forward_ee = 1.0  # Weight of the next end-effector pose, predicted with the same z.
    if family == "clam":
        # Weight of the robot actions decoded from the inverse dynamics model's z; 0.01 is used too.
        weights.action = 1.0
    if family == "glam":
        # Weight of the KL of the inverse dynamics model's posterior to N(0, I).
        weights.kl_idm = 1e-3
        # Weight of the next visual feature, predicted with z of the action encoder.
        weights.target_forward_y = 1.0
        # Weight of the next end-effector pose, predicted with z of the action encoder.
        weights.target_forward_ee = 1.0
        # Weight of the next joint state, predicted with z of the action encoder.
        weights.proprio = 1.0
        weights.action = 1.0  # Weight of the robot actions decoded from z.
        # Weight of the KL of the action encoder's posterior to N(0, I).
        weights.kl_action_encoder = 1e-3
        weights.alignment = 1.0  # lambda, the weight of the KL between the two posteriors.
    return weights


def _policy() -> ConfigDict:
    policy = ConfigDict()
    policy.chunk = 20  # K, the transitions that are predicted at once.
    policy.proprio = "ee_pose"  # What the policy knows of the robot.
    policy.encoder = "conv"  # Encoder of each view: conv, or dinov2 for DINOv2 ViT-S/14.
    # Side in pixels to which views are resized before the encoder; 0 keeps theirs.
    policy.view_size = 0
    # Channels of conv: of the patches, of the 3 x 3 convolution, of the halving one.
    policy.channels = (32, 32, 64)
    policy.features = 128  # Features of each view from conv; DINOv2 has 384.
    # Path of the published weights, .pth or .safetensors; scratch starts from random ones.
    policy.dinov2_weights = ""
    # Offset in resizing positional embeddings: 0.1 as the original, 0 as Hugging Face.
    policy.dinov2_offset = 0.1
    policy.dinov2_dtype = "float32"  # Precision of DINOv2's computation.
    # Whether the backward pass computes DINOv2's blocks again, which saves memory.
    policy.dinov2_remat = False
    policy.hidden = 256  # Width of the head over all views.
    policy.condition = 64  # Visual dimensions of the condition c.
    policy.layers = 10  # Layers of MIP's network.
    policy.width = 256  # Width of MIP's network and of h_a.
    policy.decoder_layers = 4  # Layers of h_a.
    # Deviation of the noise on the normalised pose in training; 0.05 is about 4 mm.
    policy.pose_noise = 0.05
    # Most pixels by which each view is shifted at random, below the tolerance of the grasp.
    policy.shift_pixels = 1
    # Deviation of random smooth fields of colour over images, as of lamps and patterns.
    policy.shading = 0.25
    # Spread of the random gain of each colour and of the lift of images.
    policy.colour_jitter = 0.3
    return policy


def _clone(method: str) -> ConfigDict:
    run = ConfigDict()  # Keys without a comment mean what they do in `_pretrain`.
    run.steps = 6000
    run.batch = 128
    run.accumulate = 1
    run.compute = "float32"
    run.target_share = 0.4
    run.learning_rate = 1e-3
    run.matrix_learning_rate = 1e-2
    run.warmup_steps = 200
    run.weight_decay = 0.3  # Less fits the few demonstrations and misses more often.
    run.clip = 10.0
    run.ema_decay = 0.995
    run.weights = ConfigDict()
    run.weights.first = 1.0  # Weight of the labels that the first call of MIP's network predicts.
    run.weights.second = 1.0  # Weight of the labels that the second call predicts.
    # GLAM's weight is small: h_a learns as fast, because the optimizer's steps do not depend on the
    # gradient's scale, and the network is left to the labels, which all sources have. The policies
    # of LAPA and CLAM are better with weight 1.
    weight = 0.03 if _family(method) == "glam" else 1.0
    run.weights.action = weight  # Weight of the robot actions decoded from both predictions.
    run.log_every = 50
    run.evaluate_every = 500
    run.save_every = 500
    run.steps_per_call = 20
    return run


def _evaluate() -> ConfigDict:
    evaluate = ConfigDict()
    evaluate.trials = 50  # Unseen starts.
    evaluate.first_seed = 1_000_000  # Seed of the first start; no demonstration has it.
    # Actions of a chunk carried out before the policy decides again, at most K.
    evaluate.execute = 20
    evaluate.batch = 50  # Worlds that each device simulates at a time.
    evaluate.film = 9  # Rollouts in the video; 0 makes none.
    return evaluate


def _replay() -> ConfigDict:
    replay = ConfigDict()
    replay.episodes = 20  # Held-out episodes of each source.
    # Robot that carries the decoded actions out: target, or a robot such as kinova.
    replay.robot = "target"
    return replay


def _audit() -> ConfigDict:
    """Thresholds of the grounding audit; docs/audit.md says what was measured."""
    audit = ConfigDict()
    # Most error of decoded actions on held-out target transitions, mm at the gripper.
    audit.decoded_error_mm = 10.0
    # The same for robots that are not simulated here, as a share of the actions' own spread.
    audit.decoded_error_share = 0.2
    # Most energy coefficient between the latents of both sources.
    audit.latent_distance = 0.1
    # Most AUC of a classifier that tells the sources apart from z; 0.5 is chance.
    audit.classifier_auc = 0.8
    # Least share of the source's latents in the range where the decoder was trained.
    audit.inside_range = 0.8
    audit.forward_pose = 0.5  # Most forward error of the pose, as a share of the copy baseline.
    # Most forward error of the visual feature, as a share of the copy baseline.
    audit.forward_visual = 1.0
    # Most ratio of that share of the source to that of the target.
    audit.visual_against_target = 1.15
    # Most distance of hands from where the target's hold the object, mm.
    audit.held_offset_mm = 15.0
    # Most difference between the openings of both sources' hands that hold the object.
    audit.held_opening = 0.1
    audit.replay_lower = 0.5  # Least lower 95% Wilson bound of replay success.
    audit.range_quantile = 0.99  # Quantile of the decoder's training latents that bounds its range.
    audit.permutations = 999  # Permutations of whole episodes for the p value.
    return audit


def _make_quick(config: ConfigDict, task: str, arms: int) -> None:
    """Minutes on two CPU cores: fewer episodes, and models of half the width, which are updated
    several times as often in the time."""
    if "umi" in config.data.auxiliary:
        # Two arms take several times as long to simulate.
        config.data.auxiliary.umi = 300 if arms == 1 else 150
    config.world_model.update({"visual": 64, "channels": (4, 8, 16, 32), "width": 128})
    config.pretrain.batch = config.clone.batch = 64
    config.policy.update({"channels": (16, 16, 32), "features": 64, "hidden": 128, "width": 128})
    # Stacking needs more precision than the other tasks of one arm.
    config.clone.steps = 8000 if task == "stack_two" else 4000


def _make_paper(config: ConfigDict) -> None:
    """The paper's sizes, for an accelerator: DINOv2 on each view, wide convolutions, and the
    training recipe of MIP's authors. The length of training and of the warm-up are ours."""
    config.image_size = 224
    config.world_model.channels = (32, 64, 128, 256)
    # The image term is a sum over pixels: it keeps the size that it has at 64 x 64 pixels.
    config.pretrain.weights.image = (64 / 224) ** 2
    config.policy.encoder = "dinov2"
    config.policy.dinov2_dtype = "bfloat16"
    config.policy.shift_pixels = 3
    run = config.clone
    run.steps, run.warmup_steps = 20_000, 500
    run.evaluate_every = run.save_every = 2000
    run.batch = 256
    run.weight_decay = 1e-5
    run.learning_rate, run.matrix_learning_rate = 1e-4, 0.0  # AdamW alone fine-tunes the ViT.
