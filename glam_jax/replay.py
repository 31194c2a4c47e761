"""Cross-source replay: latents inferred from unseen episodes, decoded, carried out open-loop.

    python -m glam_jax.replay --workdir=runs/lifting_glam_o_quick_seed0

For each source the held-out episodes' latents are decoded to robot actions by the world model
and replayed in simulation on the target robot, from the same scene. Prints success with its
95% interval and writes replay.json and a side-by-side video for each source.
"""

from absl import flags, logging

from glam_jax import entry, experiment
from glam_jax.evaluation import intervals, video
from glam_jax.evaluation.replay import replay
from glam_jax.runtime.writer import write_json
from glam_jax.sim import env as simulation
from glam_jax.stages import pretrain
from glam_jax.workdir import Workdir, WorkdirError

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run whose stage 1 is finished.")
_VIDEO = flags.DEFINE_bool("video", True, "Write side-by-side videos.")


def main(_):
    logging.set_verbosity(logging.WARNING)
    workdir = Workdir(_WORKDIR.value)
    config = workdir.config()
    kind = pretrain.world_model_of(config.method)
    if kind is None or not kind.decodes:
        lacks = "no world model" if kind is None else "no action decoder in its world model"
        raise WorkdirError(f"{workdir.path}: method {config.method} has {lacks} to replay with")
    layout = experiment.layout_of(config)
    world_model = pretrain.load(config, layout, workdir.world_model)
    heldout = experiment.read_heldout(config, config.replay.episodes)
    env = simulation.make_env(config.task, config.data.target, config.image_size)
    report = {}
    for source, episodes in heldout.items():
        actions = experiment.decoded_actions(world_model, heldout, source)
        film = min(config.evaluate.film, len(episodes)) if _VIDEO.value else 0
        result = replay(env, actions, [episode.seed for episode in episodes], film=film)
        low, high = intervals.wilson(int(result.success.sum()), len(result))
        report[f"{source}_to_{config.data.target}"] = {
            "successes": int(result.success.sum()),
            "trials": len(result),
            "wilson_low": low,
            "wilson_high": high,
        }
        print(
            f"{source} to {config.data.target}: {result.success.sum()}/{len(result)} succeed, "
            f"95% interval {low:.0%} to {high:.0%}"
        )
        if film:
            path = workdir.path / f"replay_{source}.mp4"
            print(f"Video: {video.comparison_video(path, env, episodes, result)}")
    write_json(workdir.path / "replay.json", report)


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    entry.run(main)
