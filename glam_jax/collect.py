"""Records demonstrations of a scripted expert.

    python -m glam_jax.collect --config=configs/lifting.py --source=umi --episodes=400

A killed run continues where it was, and a larger number adds to what is there.
"""

import json

from absl import flags

from glam_jax import schema, values
from glam_jax.demonstrations import gather, simulated
from glam_jax.runtime import entry


def main(_):
    """Collects one source of the config's task and prints the report."""
    config = flags.FLAGS.config
    values.check(config)
    gather.source(config, flags.FLAGS.source)
    report = simulated.collect(
        config.task,
        flags.FLAGS.source,
        flags.FLAGS.episodes,
        config.data.heldout_episodes,
        config.image_size,
        config.data.root,
    )
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    entry.define_config("A file of configs/, with its argument.")
    flags.DEFINE_string("source", None, "Who demonstrates: " + ", ".join(schema.SIMULATED))
    flags.DEFINE_integer("episodes", None, "Successful training episodes wanted.", lower_bound=1)
    flags.mark_flags_as_required(["config", "source", "episodes"])
    entry.run(main)
