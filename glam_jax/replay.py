"""Cross-source replay: latents inferred from unseen episodes, decoded, carried out open-loop.

    python -m glam_jax.replay --workdir=runs/lifting_glam_o_quick_seed0

For each source the held-out episodes' latents are decoded to robot actions by the world model
and replayed in simulation from the same scene, on the robot `config.replay.robot` or `--robot`.
Prints success with its 95% interval, adds it to replay.json and writes a side-by-side video for
each source. All sources and robots are simulated.
"""

import json

from absl import flags, logging

from glam_jax import entry, experiment
from glam_jax.evaluation import video
from glam_jax.evaluation.replay import replay, summary
from glam_jax.runtime.writer import write_json
from glam_jax.sim import env as simulation
from glam_jax.stages import pretrain
from glam_jax.workdir import Workdir, WorkdirError

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run whose stage 1 is finished.")
_ROBOT = flags.DEFINE_string("robot", None, "Who carries the actions out; default: the config's.")
_VIDEO = flags.DEFINE_bool("video", True, "Write side-by-side videos.")


def main(_):
    logging.set_verbosity(logging.WARNING)
    workdir = Workdir(_WORKDIR.value)
    config = workdir.config()
    kind = pretrain.world_model_of(config.method)
    if kind is None or not kind.decodes:
        lacks = "no world model" if kind is None else "no action decoder in its world model"
        raise WorkdirError(f"{workdir.path}: method {config.method} has {lacks} to replay with")
    robot = experiment.replay_robot(config, _ROBOT.value)
    world_model = pretrain.load(config, experiment.layout_of(config), workdir.world_model)
    heldout = experiment.read_heldout(config, config.replay.episodes)
    env = simulation.make_env(config.task, robot, config.image_size)
    file = workdir.path / "replay.json"
    report = json.loads(file.read_text()) if file.exists() else {}
    for source, episodes in heldout.items():
        actions = experiment.decoded_actions(world_model, heldout, source)
        film = min(config.evaluate.film, len(episodes)) if _VIDEO.value else 0
        result = replay(env, actions, [episode.seed for episode in episodes], film=film)
        found = report[f"{source}_to_{robot}"] = summary(source, robot, result)
        print(
            "{source} to {robot}: {successes}/{trials} succeed, 95% interval "
            "{wilson_low:.0%} to {wilson_high:.0%}".format(**found)
        )
        if film:
            path = workdir.path / f"replay_{source}_to_{robot}.mp4"
            print(f"Video: {video.comparison_video(path, env, episodes, result)}")
    write_json(file, report)


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    entry.run(main)
