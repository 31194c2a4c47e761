"""The resolved configuration of a run: task, method and scale to one locked ConfigDict.

`configs/TASK.py` hand their argument here: `--config=configs/lifting.py:method=glam_o,scale=quick`.
Values that follow from others are computed where they are used.
"""

import dataclasses
import difflib
import sys

from ml_collections import ConfigDict

from glam_jax import schema
from glam_jax.errors import ConfigError

# World models: GLAM, CLAM, LAPA, each on RGB or (_o) on masks of the manipulated objects. MIP is
# the policy alone, on robot actions.
METHODS = ("glam_o", "glam", "clam_o", "clam", "lapa_o", "lapa", "mip")
# Methods that learn from the target's episodes alone, in both stages.
TARGET_ONLY = ("clam_o", "clam", "mip")
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
            near = difflib.get_close_matches(value, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
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
    config.task = task  # what is to be done; chosen by the file in configs/
    config.method = chosen["method"]  # the world model, or mip: the policy alone
    config.scale = chosen["scale"]  # sizes and lengths: quick, standard or paper
    config.seed = 0  # initial parameters, batches and noise of training
    config.image_size = 64  # side of the square images, pixels
    config.world_model_from = ""  # run whose world model to use, seen from this run's folder

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
        config.clone.weights.action = 0.0  # its labels are the actions
    return config


def leave_out_unused(config: ConfigDict) -> None:
    """Leaves out the auxiliary sources where the method learns from the target alone."""
    if config.method in TARGET_ONLY:
        for source in config.data.auxiliary:
            config.data.auxiliary[source] = 0
        config.pretrain.target_share = config.clone.target_share = 1.0


def _data(target: str) -> ConfigDict:
    data = ConfigDict()
    data.root = "runs/data"  # datasets are made here, or read if they are there
    data.target = target  # source with robot actions: kinova or kinova_real, both simulated
    data.target_episodes = 100  # of it, with actions
    # A row of a batch that is no target row is a window of any of these, each equally likely.
    data.auxiliary = ConfigDict()
    data.auxiliary.umi = 400  # its episodes, used without actions; 0 leaves it out
    data.auxiliary.kinova = 0  # its episodes, used without actions
    data.auxiliary.kinova_real = 0  # its episodes, used without actions
    data.heldout_episodes = 20  # of each source, never trained on
    data.resident_bytes = 8 << 30  # of images on the device; more are streamed from a file
    return data


def _family(method: str) -> str:
    """The method whose world model's settings a config has; MIP has GLAM's, and no use for them."""
    return "glam" if method == "mip" else method.removesuffix("_o")


def _world_model(method: str, arms: int) -> ConfigDict:
    model = ConfigDict()
    model.modality = "mask" if method.endswith("_o") else "rgb"  # what the images hold
    model.latent = schema.ACTION_DIM * arms  # d, dimensions of z: 8 an arm
    model.visual = 128  # Y, dimensions of the visual feature y
    model.channels = (8, 16, 32, 64)  # of the four convolutions
    model.width = 256  # of every MLP
    model.posterior_blocks = 5  # ResMLP blocks of the inverse dynamics model (and of q_eta)
    model.forward_blocks = 4  # of the forward model
    model.reconstruct_share = 0.25  # of the rows, at random, for the image term
    family = _family(method)
    if family in ("glam", "clam"):
        model.decoder_layers = 4  # of the action decoder
    if family == "glam":
        model.proprio_blocks = 5  # of the proprioceptive forward model
        model.alignment = "asymmetric"  # or symmetric, none
        model.action_loss_on = "action_encoder"  # or idm
    if family == "lapa":
        model.codes = 4  # m, codes that one latent is made of; d is a multiple
        model.codebook_size = 8  # K, shared by all m
    return model


def _pretrain(method: str) -> ConfigDict:
    run = ConfigDict()
    run.steps = 1500  # updates
    run.batch = 128  # windows, shared out evenly over all devices
    run.accumulate = 1  # pieces a device's share is computed in, one after the other
    run.compute = "float32"  # or bfloat16: of matrix products and convolutions
    run.window = 2  # T, frames of a window: T - 1 transitions
    run.target_share = 0.5  # share of rows from the target source
    run.learning_rate = 1e-3  # peak of warm-up and cosine
    run.matrix_learning_rate = 1e-2  # the same for Linear layers, by Muon; 0: AdamW for all
    run.warmup_steps = 200  # updates over which both rates rise
    run.weight_decay = 1e-5  # of matrices, times the rate
    run.clip = 100.0  # largest gradient norm
    run.ema_decay = 0.995  # of the average of the parameters that is used in the end
    run.weights = _weights(_family(method))
    if _family(method) == "lapa":
        run.reseed_every = 20  # updates between replacements of codes that the batch does not use
        run.reseed_until = 0.5  # share of the run; later codes are left to settle
    run.log_every = 50  # updates between lines of metrics.jsonl and TensorBoard
    run.evaluate_every = 500  # updates between measurements on held-out episodes
    run.save_every = 500  # updates between checkpoints
    run.steps_per_call = 20  # updates per dispatch at most, see `loop.LONGEST_CALL`
    return run


def _weights(family: str) -> ConfigDict:
    """Weights of the terms of stage 1, SPEC sections 2 and 4."""
    weights = ConfigDict()
    weights.image = 1.0  # reconstruction of images from y
    weights.forward_y = 1.0  # next visual feature, from z of the inverse dynamics model
    weights.forward_ee = 1.0  # next end-effector pose, from the same z
    if family == "clam":
        weights.action = 1.0  # its decoder reads the inverse dynamics model's z; 0.01 is in use too
    if family == "glam":
        weights.kl_idm = 1e-3  # of the inverse dynamics model's posterior from N(0, I)
        weights.target_forward_y = 1.0  # as forward_y, with z of the action encoder
        weights.target_forward_ee = 1.0  # as forward_ee, with z of the action encoder
        weights.proprio = 1.0  # next joint state, with z of the action encoder
        weights.action = 1.0  # robot action, decoded from z
        weights.kl_action_encoder = 1e-3  # of the action encoder's posterior from N(0, I)
        weights.alignment = 1.0  # lambda: of the two posteriors
    return weights


def _policy() -> ConfigDict:
    policy = ConfigDict()
    policy.chunk = 20  # K, transitions predicted at once
    policy.proprio = "ee_pose"  # or joints: what the policy knows of itself
    policy.encoder = "conv"  # of each view; or dinov2, DINOv2 ViT-S/14
    policy.view_size = 0  # side that views are resized to before it, pixels; 0: as they are
    policy.channels = (32, 32, 64)  # of conv: patches, 3 x 3, halving
    policy.features = 128  # of conv, per view; DINOv2 has 384
    policy.dinov2_weights = ""  # path of published weights, .pth or .safetensors; or scratch
    policy.dinov2_offset = 0.1  # in resizing positions, as the original; Hugging Face's has 0
    policy.dinov2_dtype = "float32"  # of its computation; or bfloat16
    policy.dinov2_remat = False  # compute its blocks anew in the backward pass, to save memory
    policy.hidden = 256  # of the head over both views
    policy.condition = 64  # visual dimensions of c
    policy.layers = 10  # of MIP's network
    policy.width = 256  # of MIP's network and of h_a
    policy.decoder_layers = 4  # of h_a
    policy.pose_noise = 0.05  # added to the normalised pose in training; 0.05 is about 4 mm
    policy.shift_pixels = 1  # random shift of images, below the tolerance of the grasp
    policy.shading = 0.25  # random smooth fields of colour over images, as of lamps and patterns
    policy.colour_jitter = 0.3  # random gain of each colour and lift of images; sources look unlike
    return policy


def _clone(method: str) -> ConfigDict:
    run = ConfigDict()
    run.steps = 6000
    run.batch = 128
    run.accumulate = 1
    run.compute = "float32"
    run.target_share = 0.4
    run.learning_rate = 1e-3
    run.matrix_learning_rate = 1e-2
    run.warmup_steps = 200
    run.weight_decay = 1e-5
    run.clip = 10.0
    run.ema_decay = 0.995
    run.weights = ConfigDict()
    run.weights.first = 1.0  # labels as the first call of MIP's network predicts them
    run.weights.second = 1.0  # labels as the second call does
    # GLAM's is light: h_a learns as fast, for the optimizer's steps do not depend on the gradient's
    # scale, and the network is left to the labels, which all sources have. LAPA's and CLAM's
    # policies are better with the whole of it.
    weight = 0.03 if _family(method) == "glam" else 1.0
    run.weights.action = weight  # robot actions, decoded from both
    run.log_every = 50
    run.evaluate_every = 500
    run.save_every = 500
    run.steps_per_call = 20
    return run


def _evaluate() -> ConfigDict:
    evaluate = ConfigDict()
    evaluate.trials = 50  # unseen starts
    evaluate.first_seed = 1_000_000  # starts that no demonstration had
    evaluate.execute = 20  # actions of a chunk carried out before deciding again, at most K
    evaluate.batch = 50  # worlds of each device at a time
    evaluate.film = 9  # rollouts in the video
    return evaluate


def _replay() -> ConfigDict:
    replay = ConfigDict()
    replay.episodes = 20  # held-out episodes of each source
    replay.robot = "target"  # whose actions are carried out: the target itself, or kinova
    return replay


def _audit() -> ConfigDict:
    """Thresholds of the grounding audit; docs/audit.md says what was measured."""
    audit = ConfigDict()
    audit.decoded_error_mm = 10.0  # most, on held-out target transitions, mm at the gripper
    audit.latent_distance = 0.1  # most, energy coefficient of both sources' z, 0 to 1
    audit.classifier_auc = 0.8  # most, of telling the sources apart from z, 0.5 to 1
    audit.inside_range = 0.8  # least share of the source's z where the decoder was trained
    audit.forward_pose = 0.5  # most, forward error over copy baseline, end-effector pose
    audit.forward_visual = 1.0  # most, the same of the visual feature
    audit.visual_against_target = 1.15  # most, that of the source over that of the target
    audit.replay_lower = 0.5  # least, lower 95% Wilson bound of replay success
    audit.range_quantile = 0.99  # of the decoder's training latents, that bounds its range
    audit.permutations = 999  # of whole episodes, for the p value
    return audit


def _make_quick(config: ConfigDict, task: str, arms: int) -> None:
    """Minutes on two CPU cores: fewer episodes, and models of half the width, which are updated
    several times as often in the time."""
    if "umi" in config.data.auxiliary:
        # Episodes of two arms take several times as long to simulate.
        config.data.auxiliary.umi = 300 if arms == 1 else 150
    config.world_model.update({"visual": 64, "channels": (4, 8, 16, 32), "width": 128})
    config.pretrain.batch = config.clone.batch = 64
    config.policy.update({"channels": (16, 16, 32), "features": 64, "hidden": 128, "width": 128})
    # A cube on a cube asks for more precision than the rest of what one arm does.
    config.clone.steps = 8000 if task == "stack_two" else 4000


def _make_paper(config: ConfigDict) -> None:
    """The paper's sizes, for an accelerator: DINOv2 on each view, wide convolutions, and the
    training recipe of MIP's authors. The length of training and of the warm-up are ours."""
    config.image_size = 224
    config.world_model.channels = (32, 64, 128, 256)
    # The image term is a sum over pixels: as much in all as of 64 x 64, which the other terms suit.
    config.pretrain.weights.image = (64 / 224) ** 2
    config.policy.encoder = "dinov2"
    config.policy.dinov2_dtype = "bfloat16"
    config.policy.shift_pixels = 3
    run = config.clone
    run.steps, run.warmup_steps = 20_000, 500
    run.evaluate_every = run.save_every = 2000
    run.batch = 256
    run.learning_rate, run.matrix_learning_rate = 1e-4, 0.0  # AdamW alone: the ViT is fine-tuned
