"""The page of results, docs/results.md, with figures and CSV, from the summaries in results/.

    python -m glam_jax.report --add=runs/studies/main_table_quick
    python -m glam_jax.report

`--add` first copies a study's summary to results/, under the name of its folder. If there is one
of the same study already, the cells of both are kept.
"""

from absl import flags

from glam_jax import files
from glam_jax.runtime import entry
from glam_jax.study.reports import summary, write

_RESULTS = flags.DEFINE_string("results", "results", "Folder of the summaries.")
_DOCS = flags.DEFINE_string("docs", "docs", "Folder of the page.")
_ADD = flags.DEFINE_string("add", None, "Folder of a study whose summary to add first.")


def main(_):
    results = files.path(_RESULTS.value)
    if _ADD.value:
        folder = files.path(_ADD.value)
        added = results / f"{files.absolute(folder).name}.json"
        found = summary.read(folder / summary.SUMMARY)
        if added.exists():
            found = summary.join(summary.read(added), found)
        files.write_json(added, found)
        print(f"Added {added}")
    paths = files.find(results, "*.json")
    print(f"{write.page(paths, _DOCS.value)} from {len(paths)} summaries in {results}")


if __name__ == "__main__":
    entry.run(main)
