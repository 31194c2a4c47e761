"""Repeats a finished run's evaluation from its checkpoint.

    python -m glam_jax.evaluate --workdir=runs/lifting_glam_o_quick_seed0 --trials=50 --video

Gives the same answer as training did for the same trials. Writes joints.json and joints.png anew,
the first trial's commands against the expert's, and with `--video` rollouts.mp4.
The trials are shared out over all devices, and over the hosts that flags name as for training.
"""

import json

from absl import flags

from glam_jax.demonstrations import gather
from glam_jax.evaluation import joints, video
from glam_jax.experiment import experiment
from glam_jax.experiment.workdir import Workdir
from glam_jax.runtime import entry, hosts
from glam_jax.stages import clone

hosts.define_flags()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a finished run.")
_TRIALS = flags.DEFINE_integer("trials", 50, "Unseen starts.", lower_bound=1)
_VIDEO = flags.DEFINE_bool("video", False, "Write a video of the first rollouts.")


def main(_):
    hosts.join_by_flags()
    workdir = Workdir(_WORKDIR.value)
    config = workdir.config()
    target = gather.target(config)
    env = target.make_env()
    act, params = clone.load(config, target.layout, workdir.policy)
    film = min(config.evaluate.film, _TRIALS.value) if _VIDEO.value else 0
    result = experiment.evaluate(config, act, params, _TRIALS.value, film)
    if not hosts.is_leader():
        return
    print(json.dumps(experiment.measure(config, result), indent=2))
    print(f"Joints: {joints.save(workdir.path, env, result)}")
    if film:
        print(f"Video: {video.rollout_video(workdir.path / 'rollouts.mp4', env, result)}")


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    entry.run(main)
