"""How fast each part of glam_jax runs here, and how close that is to what the machine can do.

    python -m glam_jax.benchmark --quick
    python -m glam_jax.benchmark --only=render,physics --worlds=64,256
    python -m glam_jax.benchmark --only=stage1,stage2 --batches=64,256,1024,4096
    python -m glam_jax.benchmark --only=evaluation --match=stack_three --trials=1000
    python -m glam_jax.benchmark --quick --compare=OLD.json

Writes benchmark.json and benchmark.md into `--out`; docs/performance.md says how to read them.
`--compare` sets the ratios to a fixed computation beside those of an older benchmark.json, and
exits with 1 if one is worse than `--tolerance`; with `--measured=NEW.json` nothing is measured.
"""

from absl import flags

from glam_jax import files
from glam_jax.benchmark import case, comparison, record, suite
from glam_jax.experiment import experiment
from glam_jax.runtime import entry

_ONLY = flags.DEFINE_list("only", [], "Groups to measure: " + ", ".join(suite.GROUPS))
_QUICK = flags.DEFINE_bool("quick", False, "Few sizes and repeats: minutes on two CPU cores.")
_OUT = flags.DEFINE_string("out", "runs/benchmark", "Folder of the results.")
_BATCHES = flags.DEFINE_list("batches", [], "Batch sizes of training, such as 64 to 4096.")
_SCALES = flags.DEFINE_list("scales", [], "Module sizes: " + ", ".join(case.SCALES))
_WORLDS = flags.DEFINE_list("worlds", [], "Numbers of worlds of rendering and physics.")
_PIXELS = flags.DEFINE_list("pixels", [], "Sides of rendered pictures.")
_TRIALS = flags.DEFINE_list("trials", [], "Numbers of trials of an evaluation.")
_MATCH = flags.DEFINE_string("match", "", "Only cases whose name has this regular expression.")
_COMPARE = flags.DEFINE_string("compare", None, "An older benchmark.json to compare with.")
_MEASURED = flags.DEFINE_string("measured", None, "Compare this benchmark.json; measure nothing.")
_TOLERANCE = flags.DEFINE_float("tolerance", 0.3, "Share by which a ratio may grow.")


def main(_):
    old = record.read(_COMPARE.value) if _COMPARE.value else None
    groups = suite.choose(_ONLY.value)
    if _MEASURED.value and old is None:
        raise case.BenchmarkError("--measured needs an older file in --compare to compare with")
    if _MEASURED.value:
        new = record.read(_MEASURED.value)
    else:
        about = {"revision": experiment.git_revision(), "quick": _QUICK.value}
        axes = {flag.name: flag.value for flag in (_BATCHES, _WORLDS, _PIXELS, _TRIALS)}
        sizes = case.asked(_QUICK.value, _SCALES.value, **axes)
        new = suite.run(groups, sizes, _OUT.value, about, _MATCH.value)
        print(files.read_text(files.path(_OUT.value) / suite.MARKDOWN))
    if old is None:
        return 0
    text, worse = comparison.compare(old, new, _TOLERANCE.value)
    print(text)
    return int(bool(worse))


if __name__ == "__main__":
    entry.run(main)
