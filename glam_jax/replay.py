"""Cross-source replay: latents inferred from unseen episodes, decoded, carried out open-loop.

    python -m glam_jax.replay --workdir=runs/lifting_glam_o_quick_seed0

For each source that the run learned from, or for each of `--sources`, the held-out episodes'
latents are decoded to robot actions by the world model and replayed in simulation from the same
scene, on the robot `config.replay.robot` or `--robot`. Episodes of others
are recorded first.
Prints success with its 95% interval, adds it to replay.json and writes for each source a
side-by-side video and a figure of its first episode at five times. All sources and robots are
simulated.
"""

from absl import flags

from glam_jax.experiment import replay
from glam_jax.experiment.workdir import Workdir
from glam_jax.runtime import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run whose stage 1 is finished.")
_ROBOT = flags.DEFINE_string("robot", None, "Who carries the actions out; default: the config's.")
_SOURCES = flags.DEFINE_list(
    "sources", None, "Whose episodes, as in umi,kinova; default: all that the run learned from."
)
_VIDEO = flags.DEFINE_bool("video", True, "Write side-by-side videos and figures.")


def main(_):
    replay.replay_sources(Workdir(_WORKDIR.value), _ROBOT.value, _VIDEO.value, _SOURCES.value)


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    entry.run(main)
