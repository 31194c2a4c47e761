"""Reports from cells that no training made: every number traced to where it came from."""

import csv
import io
import json
import pathlib
import re

import commands
import fake_study
import pytest

from glam_jax.evaluation import intervals
from glam_jax.experiment.workdir import REPLAY, RESULTS, WorkdirError
from glam_jax.files import write_json
from glam_jax.study import grid, worker
from glam_jax.study.reports import published, rates, summary, tables, write

ROOT = pathlib.Path(__file__).parents[2]
METHODS = ("glam_o", "glam", "mip")


def make(name, **changes):
    settings = {"quick": True, "tasks": ("lifting",), "methods": METHODS, "seeds": (0, 1, 2)}
    return grid.study(name, **settings | changes)


@pytest.fixture(scope="module")
def main(tmp_path_factory):
    """A finished main table: its study and its folder."""
    folder = tmp_path_factory.mktemp("main_table")
    study = make("main_table", tasks=("lifting", "stack_two"))
    fake_study.finish(study, folder)
    return study, folder


@pytest.fixture(scope="module")
def found(main):
    return summary.collect(*main)


def results_of(folder, name, file=RESULTS):
    return json.loads((worker.cell_folder(folder, name) / file).read_text())


def csv_of(made):
    return list(csv.DictReader(io.StringIO(made.csv())))


def row_of(made, **values):
    (row,) = [r for r in csv_of(made) if all(r.get(k) == v for k, v in values.items())]
    return row


def test_a_summary_has_what_the_runs_found(main, found):
    _, folder = main
    assert len(found["cells"]) == 2 * 3 * 3 and found["missing"] == []
    (cell,) = rates.select(found["cells"], task="stack_two", method="glam", seed=1)
    theirs = results_of(folder, "stack_two_glam_seed1")
    assert cell["policy"] == {key: theirs[key] for key in summary.POLICY_KEYS}
    assert cell["sources"] == {"kinova": 100, "umi": 300} and cell["minutes"] == 3.0
    assert cell["decoded_mm"] == {"stage1": 7.5, "stage2": 12.25}
    # Small enough to keep: under a kilobyte a cell, beside the commands of a few.
    kept = {
        c["name"]: c.pop("joints") for c in json.loads(json.dumps(found))["cells"] if "joints" in c
    }
    assert set(kept) == {
        f"{t}_{m}_seed0" for t in ("lifting", "stack_two") for m in ("glam_o", "mip")
    }
    assert len(json.dumps(found)) - len(json.dumps(kept)) < 1000 * len(found["cells"])


def test_unfinished_cells_are_missing_and_damaged_ones_named(tmp_path):
    study = make("main_table", methods=("mip",))
    cells = fake_study.finish(study, tmp_path)
    (worker.cell_folder(tmp_path, cells[1].name) / RESULTS).unlink()
    found = summary.collect(study, tmp_path)
    assert found["missing"] == ["lifting_mip_seed1"] and len(found["cells"]) == 2
    text = write.report(found).markdown(str)
    assert "2 of 3 runs (training seeds: 0, 2)" in text
    assert text.startswith("# Success of every method on lifting, quick scale\n")
    (worker.cell_folder(tmp_path, cells[0].name) / RESULTS).write_text("{")
    with pytest.raises(WorkdirError, match="lifting_mip_seed0/results.json is not JSON"):
        summary.collect(study, tmp_path)


def test_pooled_rates_and_their_spread(main, found):
    _, folder = main
    seeds = [results_of(folder, f"lifting_glam_o_seed{seed}")["successes"] for seed in range(3)]
    rate = rates.pooled(rates.select(found["cells"], task="lifting", method="glam_o"))
    assert (rate.successes, rate.trials) == (sum(seeds), 150)
    assert rate.bar == (sum(seeds) / 150, *intervals.wilson(sum(seeds), 150))
    spread = (rate.mean_over_seeds, rate.sd_over_seeds)
    assert spread == pytest.approx(intervals.mean_and_sd([s / 50 for s in seeds]))
    row = row_of(write.report(found), task="lifting", method="glam_o")
    assert float(row["success_rate"]) == pytest.approx(sum(seeds) / 150, rel=1e-5)
    assert float(row["paper_success_rate"]) == 18 / 20
    alone = {"policy": {"successes": 37, "trials": 50}}
    assert rates.pooled([alone]).text() == "37/50 = 74% (60–84%)"
    several = [{"policy": {"successes": count, "trials": 50}} for count in (30, 40)]
    assert rates.pooled(several).text() == "70/100 = 70 ± 14% (60–78%)"


def test_differences_pair_trials_of_one_seed_on_one_start(main, found):
    _, folder = main
    ours, other = [
        "".join(results_of(folder, f"lifting_{m}_seed{seed}")["outcomes"] for seed in range(3))
        for m in ("glam_o", "mip")
    ]
    ours, other = [list(map(int, text)) for text in (ours, other)]
    cells = found["cells"]
    # The order of the records does not matter, their seeds do.
    shuffled = rates.select(cells, task="lifting", method="mip")[::-1]
    gap = rates.difference(rates.select(cells, task="lifting", method="glam_o"), shuffled)
    assert gap.pairs == 150
    bounds = (gap.newcombe_low, gap.newcombe_high)
    assert bounds == intervals.newcombe(sum(ours), 150, sum(other), 150)
    assert (gap.paired_low, gap.paired_high) == intervals.paired_newcombe(ours, other)
    assert gap.mcnemar_p == intervals.mcnemar(ours, other)
    assert 0 < gap.newcombe_low < gap.newcombe_lower_one_sided < gap.difference
    made = write.report(found)
    row = row_of(made, task="lifting", method="mip")
    assert float(row["newcombe_low"]) == pytest.approx(gap.newcombe_low, rel=1e-5)
    assert row["difference_from"] == "GLAM-O" and f"| {gap.text()} |" in made.markdown(str)


def test_other_starts_are_not_paired(found):
    cells = found["cells"]
    ours = rates.select(cells, task="lifting", method="glam_o")
    moved = [
        cell | {"policy": cell["policy"] | {"first_seed": 5}}
        for cell in rates.select(cells, task="lifting", method="mip")
    ]
    gap = rates.difference(ours, moved)
    assert gap.pairs == 0 and gap.paired_low is None and gap.mcnemar_p is None
    assert rates.difference(ours, []) is None


def test_the_main_table_has_the_papers_values_beside_ours_and_says_whose(found):
    made = write.report(found)
    text = made.markdown(str)
    assert "in another simulator and the other tasks on a real arm" in text
    ours, other = (li for li in text.splitlines() if li.startswith("| lifting | G"))
    assert ours.endswith("| 90% | - |") and "| 75% | +" in other
    assert "best baseline: lifting 55%, stack two 46%." in text
    assert row_of(made, method="best baseline", task="lifting")["paper_success_rate"] == "0.55"


def test_what_was_not_run_has_the_papers_value_in_the_csv_alone(found):
    cells = rates.select(found["cells"], method="glam_o")
    made = write.report({**found, "cells": cells})
    assert row_of(made, method="mip", task="lifting")["paper_success_rate"] == "0.35"
    assert "MIP |" not in made.markdown(str)


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    """The summary of a scaling study on which auxiliary episodes help most."""
    data = [(f"target{n}", n, 0) for n in (100, 300)] + [("auxiliary300", 100, 200)]
    share = {"target_share": 1.0}  # of rows from the target, where there is no other source
    variants = {
        name: {
            "overrides": {"data": {"target_episodes": target, "auxiliary": {"umi": auxiliary}}}
            | ({} if auxiliary else {"pretrain": share, "clone": share}),
            "methods": METHODS[::2] if not auxiliary else ("glam_o",),
        }
        for name, target, auxiliary in data
    }
    study = make("scaling", tasks=("stack_two",), methods=METHODS[::2], variants=variants)

    def do(cell, path):
        fake_study.carry_out(cell, path, 0.9 if cell.variant == "auxiliary300" else 0.4)

    folder = tmp_path_factory.mktemp("scaling")
    fake_study.finish(study, folder, do)
    return summary.collect(study, folder)


def test_scaling_has_all_curves_in_numbers_and_pictures(scaled, tmp_path):
    made = write.report(scaled)
    curves = {(row["curve"], row["episodes"]) for row in csv_of(made)}
    assert curves == {
        (curve, size)
        for curve in (published.MIP, published.AUXILIARY, published.TARGET)
        for size in ("100", "300")
    }
    row = row_of(made, curve=published.MIP, episodes="300")
    assert (float(row["paper_success_rate"]), float(row["jerk_score"])) == (0.3, -18.5)
    pictures = ["scaling_stack_two", "smoothness_stack_two"]
    assert [picture.name for picture in made.pictures] == pictures
    for picture in made.pictures:
        assert picture.draw(tmp_path / f"{picture.name}.png").stat().length > 5000


def test_scaling_compares_both_kinds_of_added_data(scaled):
    made = write.report(scaled)
    least, target, mixed = (
        rates.select(scaled["cells"], method="glam_o", variant=variant)
        for variant in ("target100", "target300", "auxiliary300")
    )
    gap = rates.difference(mixed, target)
    (row,) = (row for row in csv_of(made) if row["difference"])
    assert (row["curve"], row["episodes"]) == (published.TARGET, "300")
    assert float(row["newcombe_low"]) == pytest.approx(gap.newcombe_low, rel=1e-5)
    shown = [rates.pooled(cells).text() for cells in (least, target, mixed)]
    assert gap.newcombe_low > 0
    assert [row[3:] for row in made.table.rows] == [
        [shown[0], shown[0], "-"],  # both start from the same cells
        [shown[2], shown[1], gap.text()],
    ]


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The summary of a study of sources, of which one is broken and brings less than none."""
    alone = {"target_share": 1.0}
    without = {"data": {"auxiliary": {"umi": 0}}, "pretrain": alone, "clone": alone}
    variants = {"none": {"overrides": without}}
    success = {"none": 0.5, "umi": 0.9, "faster": 0.8, "mirrored": 0.3}
    for name in ("umi", "faster", "mirrored"):
        broken = "" if name == "umi" else name
        variants[name] = {"overrides": {"data": {"broken": broken}}}
    study = make(
        "audit_sources",
        methods=("glam_o",),
        variants=variants,
        measure=(grid.POLICY, grid.AUDIT),
    )
    folder = tmp_path_factory.mktemp("audit_sources")
    fake_study.finish(
        study, folder, lambda cell, path: fake_study.carry_out(cell, path, success[cell.variant])
    )
    return summary.collect(study, folder)


def test_audits_stand_beside_what_the_sources_bring(audited):
    made = write.report(audited)
    assert "lifting 1.00 (3 sources)" in made.notes[0]
    rows = {row[1]: row for row in made.table.rows}
    assert rows["none"][2:5] == ["-", "-", "-"] and rows["none"][-1] == "-"
    assert rows["umi"][2:5] == ["3 of 3", "0.90", "-"]
    assert rows["mirrored"][2:5] == ["0 of 3", "0.30", "inside_range"]
    for name in ("umi", "mirrored"):
        here, none = (rates.select(audited["cells"], variant=v) for v in (name, "none"))
        assert rows[name][-1] == rates.difference(here, none).text()
    assert float(row_of(made, variant="mirrored")["audit_score"]) == 0.3


ABLATIONS = {
    "asymmetric": {},
    "symmetric": {"overrides": {"world_model": {"alignment": "symmetric"}}},
}


@pytest.mark.parametrize("measure", [("replay",), ("policy", "replay")])
def test_ablations_compare_with_glam_o(tmp_path, measure):
    study = make("ablations", methods=("glam_o",), variants=ABLATIONS, measure=measure)

    def do(cell, path):
        fake_study.carry_out(cell, path, 0.9 if cell.variant == "asymmetric" else 0.2)

    fake_study.finish(study, tmp_path, do)
    made = write.report(summary.collect(study, tmp_path))
    what, seeds = "umi_to_kinova_real", range(3)
    row = row_of(made, measured=what, variant="symmetric")
    counts = []
    for variant in ABLATIONS:
        runs = [f"lifting_glam_o_{variant}_seed{seed}" for seed in seeds]
        counts.append(sum(results_of(tmp_path, run, REPLAY)[what]["successes"] for run in runs))
    low, _ = intervals.newcombe(counts[0], 60, counts[1], 60)
    assert float(row["newcombe_low"]) == pytest.approx(low, rel=1e-5) and low > 0
    assert 10.0 <= float(row["path_error_mm"]) < 11.0
    assert ("success" in made.table.columns) == ("policy" in measure)
    assert "replay of the robot's own episodes" in made.table.columns
    shown = dict(zip(made.table.columns, made.table.rows[-1], strict=True))
    assert shown["world model"] == "symmetric alignment"
    assert shown["replay of umi episodes"].startswith(f"{counts[1]}/60 = ")
    assert shown["decoded error, mm"] == ("12.2" if "policy" in measure else "7.5")


def of_replay(seed, errors):
    found = {"umi_to_kinova": {"path_errors_mm": errors}}
    return {"task": "lifting", "seed": seed, "replay": found}


def test_nearer_replays_are_counted_in_pairs():
    what = "umi_to_kinova"
    ours = [of_replay(0, [1.0] * 6), of_replay(1, [2.0, None])]  # one of them diverged
    theirs = [of_replay(1, [3.0, 9.0]), of_replay(0, [2.0] * 5 + [0.5])]
    # Nearer in 5 of 6 and 1 of 2; the exact sign test of 6 to 2.
    assert rates.nearer(ours, theirs, what) == {
        "nearer_to_the_path": 6, "of_replays": 8, "sign_test_p": pytest.approx(0.289, abs=5e-4)
    }  # fmt: skip
    assert rates.nearer(ours, [of_replay(2, [1.0])], what) == {}


def test_replay_has_a_row_for_each_direction(tmp_path):
    study = make("replay", methods=("glam_o", "glam"), seeds=(0,), measure=("replay",))
    fake_study.finish(study, tmp_path)
    made = write.report(summary.collect(study, tmp_path))
    shown = {(row["method"], row["measured"]) for row in csv_of(made)}
    directions = ("kinova_real_to_kinova_real", "umi_to_kinova_real")
    assert shown == {(m, d) for m in ("glam_o", "glam") for d in directions}


def test_tuning_compares_every_setting_with_glam_os_defaults(tmp_path):
    variants = {"defaults": {}, "joints": {"methods": ("mip",)}}
    study = make("tuning", methods=("glam_o", "mip"), seeds=(0,), variants=variants)
    fake_study.finish(study, tmp_path)
    made = write.report(summary.collect(study, tmp_path))
    theirs = results_of(tmp_path, "lifting_mip_joints_seed0")["successes"]
    ours = results_of(tmp_path, "lifting_glam_o_defaults_seed0")["successes"]
    row = row_of(made, method="mip", variant="joints")
    assert float(row["difference"]) == pytest.approx((ours - theirs) / 50, rel=1e-5)
    assert [row["variant"] for row in csv_of(made)] == ["defaults", "defaults", "joints"]
    assert "joint angles instead of the gripper's pose" in made.markdown(str)


def test_methods_are_compared_within_a_variant(tmp_path):
    variants = {
        f"{size}_demonstrations": {"overrides": {"data": {"target_episodes": size}}}
        for size in (10, 25)
    }
    methods = ("glam_o", "mip")
    study = make("few_demonstrations", methods=methods, seeds=(0,), variants=variants)
    fake_study.finish(study, tmp_path)
    made = write.report(summary.collect(study, tmp_path))
    for variant in variants:
        theirs = results_of(tmp_path, f"lifting_mip_{variant}_seed0")["successes"]
        ours = results_of(tmp_path, f"lifting_glam_o_{variant}_seed0")["successes"]
        row = row_of(made, task="lifting", method="mip", variant=variant)
        assert float(row["difference"]) == pytest.approx((ours - theirs) / 50, rel=1e-5)
        assert not row_of(made, task="lifting", method="glam_o", variant=variant)["difference"]


def test_a_third_source_is_compared_with_two(tmp_path):
    study = make(
        "third_source",
        methods=("glam_o",),
        variants={
            "two_sources": {},
            "three_sources": {"overrides": {"data": {"auxiliary": {"kinova": 100}}}},
        },
        overrides={"data": {"target": "kinova_real"}},
    )
    fake_study.finish(study, tmp_path)
    made = write.report(summary.collect(study, tmp_path))
    assert "100 kinova_real + 100 kinova + 300 umi" in made.markdown(str)
    row = row_of(made, variant="three_sources")
    assert float(row["paper_success_rate"]) == 18 / 20 and not row["difference"]
    row = row_of(made, variant="two_sources")
    assert (row["pairs"], row["difference_from"]) == ("150", "three sources")


def test_a_study_leaves_table_numbers_figures_and_summary(main, found, tmp_path):
    said = write.study(found, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "report.md", "report.csv", "summary.json",
        "success.png", "joints_lifting.png", "joints_stack_two.png",
    }  # fmt: skip
    assert str(tmp_path / "report.md") in said
    assert summary.read(tmp_path / "summary.json") == found
    text = (tmp_path / "report.md").read_text()
    assert "](success.png)" in text and "0123456789ab" in text and "Newcombe" in text
    assert "`kinova_real` is a simulated stand-in for a real arm" in text


def test_nothing_done_is_nothing_to_report(tmp_path):
    study = make("main_table")
    assert write.study(summary.collect(study, tmp_path), tmp_path) == "Nothing to report yet."
    assert not (tmp_path / "report.md").exists()


def test_the_page_holds_every_summary(found, tmp_path):
    results, docs = tmp_path / "results", tmp_path / "docs"
    write.study(found, results)
    (results / "summary.json").rename(results / "first.json")
    (docs / "results").mkdir(parents=True)
    (docs / "results" / "old.png").write_bytes(b"of a summary that is gone")
    path = write.page([results / "first.json"], docs)
    text = path.read_text()
    assert write.report(found).table.markdown() in text
    assert (docs / "results" / "first.csv").read_text() == write.report(found).csv()
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    drawn = ["success", "joints_lifting", "joints_stack_two"]
    assert pictures == [f"results/first_{name}.png" for name in drawn]
    kept = {f"results/{p.name}" for p in (docs / "results").iterdir()}
    assert kept == {*pictures, "results/first.csv"}
    assert "from one start; GLAM-O succeeded, MIP succeeded" in text


def test_without_results_the_page_says_how_to_make_them(tmp_path):
    text = write.page([], tmp_path).read_text()
    assert "python -m glam_jax.study --config=configs/studies/main_table.py:quick" in text
    assert "python -m glam_jax.report --add=" in text
    assert (ROOT / "configs" / "studies" / "main_table.py").exists()


def test_the_page_in_the_repository_is_made_from_its_results(tmp_path):
    paths = sorted((ROOT / "results").glob("*.json"))
    made = write.page(paths, tmp_path).read_text()
    assert (ROOT / "docs" / "results.md").read_text() == made, "run python -m glam_jax.report"
    for file in (tmp_path / "results").glob("*.csv"):
        assert (ROOT / "docs" / "results" / file.name).read_text() == file.read_text()


@pytest.mark.parametrize(
    "text, found",
    [
        ("{", "is not JSON"),
        ("[]", "format is None, expected 2"),
        ('{"format": 9}', "format is 9, expected 2"),
        ('{"format": 2, "study": "speed"}', "study 'speed' has no report; known: main_table"),
    ],
)
def test_what_is_no_summary_is_refused(tmp_path, text, found):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(summary.SummaryError, match=found):
        write.page([path], tmp_path / "docs")
    with pytest.raises(summary.SummaryError, match="none.json is not there: .*--norun"):
        summary.read(tmp_path / "none.json")


def test_every_study_has_a_report():
    assert set(tables.REPORTS) == {p.stem for p in (ROOT / "configs" / "studies").glob("*.py")}


def add(found, folder):
    """Adds a summary to folder/results by the command."""
    write_json(folder / "part" / summary.SUMMARY, found)
    flags = {"results": "results", "docs": "docs", "add": "part"}
    commands.run("glam_jax.report", *(f"--{name}={folder / of}" for name, of in flags.items()))
    return summary.read(folder / "results" / "part.json")


def test_parts_of_a_study_are_joined(found, tmp_path, capsys):
    def part(cells, note):
        names = {cell["name"] for cell in cells}
        missing = [name for name in found["grid"] if name not in names]
        return {**found, "cells": [cell | {"device": note} for cell in cells], "missing": missing}

    first, second = part(found["cells"][:12:2], "first"), part(found["cells"][10:], "second")
    joined = summary.join(first, second)
    cells = {cell["name"]: cell["device"] for cell in joined["cells"]}
    assert list(cells) == [name for name in found["grid"] if name in cells]
    assert list(cells.values()) == ["first"] * 5 + ["second"] * 8, "of both, the new one's"
    assert sorted([*cells, *joined["missing"]]) == sorted(found["grid"])
    with pytest.raises(summary.SummaryError, match="different studies: seeds differ"):
        summary.join(first, {**second, "seeds": [0]})
    assert summary.join(first, {**second, "methods": second["methods"][::-1]})["cells"]

    assert add(first, tmp_path) == first
    assert add(second, tmp_path) == joined
    assert "from 1 summaries" in capsys.readouterr().out
