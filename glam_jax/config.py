"""The resolved configuration of a run: task, method and scale to one locked ConfigDict.

`configs/TASK.py` hand their argument here: `--config=configs/lifting.py:method=glam_o,scale=quick`.
Values that follow from others are computed where they are used.
"""

import difflib
import sys

from ml_collections import ConfigDict

METHODS = ("glam_o", "glam", "mip")
SCALES = ("quick", "standard", "paper")
DEFAULTS = {"method": "glam_o", "scale": "standard"}


def parse_argument(argument: str) -> dict[str, str]:
    """`method=NAME,scale=NAME` to a dict, with defaults for what is not said.

    Raises:
      ValueError: an unknown key, method or scale; names the known ones.
    """
    chosen = dict(DEFAULTS)
    for part in filter(None, (argument or "").split(",")):
        key, _, value = part.partition("=")
        known = {"method": METHODS, "scale": SCALES}.get(key)
        if known is None:
            raise ValueError(f"config argument {part!r}: expected method=NAME or scale=NAME")
        if value not in known:
            near = difflib.get_close_matches(value, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"unknown {key} {value!r}; known: {', '.join(known)}{hint}")
        chosen[key] = value
    if chosen["scale"] == "paper":
        raise ValueError(
            "scale=paper needs the DINOv2-S/14 encoder, which is not in this version; "
            "use scale=standard or scale=quick"
        )
    return chosen


def on_command_line(task: str, argument: str = "") -> ConfigDict:
    """`make`, ending the program with one line if the argument is wrong.

    For `get_config` in configs/: the flag's parser would wrap an exception in its traceback.
    """
    try:
        return make(task, argument)
    except ValueError as error:
        sys.exit(f"error: {error}")


def make(task: str, argument: str = "") -> ConfigDict:
    """The config of a task, with every key present, locked.

    Raises:
      ValueError: see `parse_argument`.
    """
    chosen = parse_argument(argument)
    config = ConfigDict()
    config.task = task
    config.method = chosen["method"]
    config.scale = chosen["scale"]
    config.seed = 0  # initial parameters, batches and noise of training
    config.image_size = 64  # side of the square images, pixels
    config.world_model_from = ""  # run whose world model to use, seen from this run's folder

    config.data = _data()
    config.world_model = _world_model(config.method)
    config.pretrain = _pretrain()
    config.policy = _policy()
    config.clone = _clone()
    config.evaluate = _evaluate()
    config.replay = ConfigDict({"episodes": 20})  # held-out episodes of each source
    if config.scale == "quick":
        _make_quick(config)
    if config.method == "mip":
        config.data.auxiliary_episodes = 0
        config.clone.target_share = 1.0
        config.clone.weights.action = 0.0  # its labels are the actions
    return config.lock()


def _data() -> ConfigDict:
    data = ConfigDict()
    data.root = "runs/data"  # datasets are made here, or read if they are there
    data.target = "kinova"  # source with robot actions
    data.auxiliary = "umi"  # source without
    data.target_episodes = 100
    data.auxiliary_episodes = 400
    data.third = "kinova"  # another source, its actions unread
    data.third_episodes = 0
    data.heldout_episodes = 20  # of each source, never trained on
    data.resident_bytes = 8 << 30  # larger data is streamed instead of kept on the device
    return data


def _world_model(method: str) -> ConfigDict:
    model = ConfigDict()
    model.modality = "mask" if method == "glam_o" else "rgb"  # what the images hold
    model.latent = 8  # d, dimensions of z
    model.visual = 128  # Y, dimensions of the visual feature y
    model.channels = (8, 16, 32, 64)  # of the four convolutions
    model.width = 256  # of every MLP
    model.posterior_blocks = 5  # ResMLP blocks of q_phi and q_eta
    model.forward_blocks = 4  # of the forward model
    model.proprio_blocks = 5  # of the proprioceptive forward model
    model.decoder_layers = 4  # of the action decoder
    model.alignment = "asymmetric"  # or symmetric, none
    model.action_loss_on = "action_encoder"  # or idm
    model.reconstruct_share = 0.25  # of the rows, at random, for the image term
    return model


def _pretrain() -> ConfigDict:
    run = ConfigDict()
    run.steps = 1500  # updates
    run.batch = 128  # windows
    run.window = 2  # T, frames of a window: T - 1 transitions
    run.target_share = 0.5  # share of rows from the target source
    run.learning_rate = 1e-3  # peak of warm-up and cosine
    run.matrix_learning_rate = 1e-2  # the same for Linear layers, by Muon; 0: AdamW for all
    run.warmup_steps = 200
    run.weight_decay = 1e-5
    run.clip = 100.0  # largest gradient norm
    run.ema_decay = 0.995
    run.weights = ConfigDict(  # of the terms, SPEC section 2
        {
            "image": 1.0,
            "forward_y": 1.0,
            "forward_ee": 1.0,
            "kl_idm": 1e-3,
            "target_forward_y": 1.0,
            "target_forward_ee": 1.0,
            "proprio": 1.0,
            "action": 1.0,
            "kl_action_encoder": 1e-3,
            "alignment": 1.0,  # lambda
        }
    )
    run.log_every = 50
    run.evaluate_every = 500
    run.save_every = 500
    run.steps_per_call = 20  # updates per dispatch, on an accelerator
    return run


def _policy() -> ConfigDict:
    policy = ConfigDict()
    policy.chunk = 20  # K, transitions predicted at once
    policy.proprio = "ee_pose"  # or joints: what the policy knows of itself
    policy.channels = (32, 32, 64)  # of the vision encoder: patches, 3 x 3, halving
    policy.features = 128  # per view
    policy.hidden = 256  # of the head over both views
    policy.condition = 64  # visual dimensions of c
    policy.layers = 10  # of MIP's network
    policy.width = 256
    policy.decoder_layers = 4  # of h_a
    policy.pose_noise = 0.05  # added to the normalised pose in training; 0.05 is about 4 mm
    policy.shift_pixels = 1  # random shift of images, below the tolerance of the grasp
    return policy


def _clone() -> ConfigDict:
    run = ConfigDict()
    run.steps = 3000
    run.batch = 128
    run.target_share = 0.4
    run.learning_rate = 1e-3
    run.matrix_learning_rate = 1e-2
    run.warmup_steps = 200
    run.weight_decay = 1e-5
    run.clip = 10.0
    run.ema_decay = 0.995
    run.weights = ConfigDict({"first": 1.0, "second": 1.0, "action": 1.0})
    run.log_every = 50
    run.evaluate_every = 500
    run.save_every = 500
    run.steps_per_call = 20
    return run


def _evaluate() -> ConfigDict:
    evaluate = ConfigDict()
    evaluate.trials = 50
    evaluate.first_seed = 1_000_000  # starts that no demonstration had
    evaluate.execute = 20  # actions of a chunk carried out before deciding again, at most K
    evaluate.batch = 50  # worlds at a time
    evaluate.film = 9  # rollouts in the video
    return evaluate


def _make_quick(config: ConfigDict) -> None:
    """Minutes on two CPU cores: fewer episodes, shorter training."""
    config.data.auxiliary_episodes = 300
    config.pretrain.steps = 400
    config.pretrain.evaluate_every = config.pretrain.save_every = 200
    config.clone.steps = 900
    config.clone.evaluate_every = config.clone.save_every = 300
