"""Grids: which cells a study has, what their configs are, and how they are shared."""

import importlib.util
import pathlib
from collections import Counter

import pytest

from glam_jax import config
from glam_jax.study import grid

STUDIES = pathlib.Path(__file__).parents[2] / "configs" / "studies"
KNOWN = ("glam_o", "glam", "mip")


def get_config(name, argument=""):
    """What `configs/studies/NAME.py` makes of an argument."""
    spec = importlib.util.spec_from_file_location(name, STUDIES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument)


def make(**changes):
    settings = {"quick": True, "tasks": ("lifting",), "methods": KNOWN, "seeds": (0, 1)}
    return grid.study("some", **settings | changes)


BORROWING = {
    "mix": {"methods": ("glam_o",), "overrides": {"data": {"auxiliary": {"umi": 7}}}},
    "alone": {"world_model_from": "mix", "overrides": {"clone": {"target_share": 1.0}}},
}


def test_every_combination_is_a_cell_of_its_own_name():
    cells = grid.expand(make(tasks=("lifting", "stack_two")))
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 3 * 2
    assert cells[0].name == "lifting_glam_o_seed0"
    # Seed by seed: after a third of the time a third of the seeds is whole.
    assert [cell.seed for cell in cells] == [0] * 6 + [1] * 6


def test_the_config_of_a_cell():
    (cell, *_) = grid.expand(
        make(
            methods=("glam_o",),
            seeds=(4,),
            overrides={"evaluate": {"trials": 5}, "data": {"target_episodes": 9}},
            variants={"few": {"overrides": {"data": {"target_episodes": 3}}}},
        )
    )
    made = cell.config()
    assert (made.task, made.method, made.scale, made.seed) == ("lifting", "glam_o", "quick", 4)
    # The variant's word comes last.
    assert (made.evaluate.trials, made.data.target_episodes) == (5, 3)
    assert made.is_locked and made.world_model_from == ""
    assert cell.name == "lifting_glam_o_few_seed4"


def test_borrowers_come_after_their_lender_and_name_its_folder():
    cells = grid.expand(make(variants=BORROWING, methods=("glam_o", "mip")))
    names = [cell.name for cell in cells]
    by_name = {cell.name: cell for cell in cells}
    borrower = by_name["lifting_glam_o_alone_seed1"]
    assert borrower.lender == "lifting_glam_o_mix_seed1"
    assert names.index(borrower.lender) < names.index(borrower.name)
    assert borrower.config().world_model_from == "../lifting_glam_o_mix_seed1"
    # MIP has no world model to borrow, and is not among the lender's methods.
    assert by_name["lifting_mip_alone_seed1"].lender == ""
    assert "lifting_mip_mix_seed1" not in by_name


def test_a_borrower_whose_lender_lacks_the_method_is_refused():
    with pytest.raises(ValueError, match=r"alone has \['glam'\], which its lender mix does not"):
        grid.expand(make(variants=BORROWING, methods=("glam", "glam_o")))


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_shares_are_disjoint_and_whole_and_have_their_lenders(number):
    cells = grid.expand(make(variants=BORROWING, methods=("glam_o", "mip")))
    shares = [grid.share(cells, f"{k}/{number}") for k in range(1, number + 1)]
    names = [cell.name for share in shares for cell in share]
    assert sorted(names) == sorted(cell.name for cell in cells)
    for share in shares:
        assert {cell.lender for cell in share} - {""} <= {cell.name for cell in share}
        assert share == sorted(share, key=cells.index)
    # The largest group, a lender and its borrower, is what shares may differ by.
    assert max(map(len, shares)) - min(map(len, shares)) <= 2
    assert grid.share(cells, "") == cells


def test_borrowers_bring_the_lenders_they_need():
    cells = grid.expand(make(variants=BORROWING, methods=("glam_o", "mip"), seeds=(0,)))
    borrower = [cell for cell in cells if cell.lender]
    assert [cell.name for cell in grid.with_lenders(borrower, cells)] == [
        "lifting_glam_o_mix_seed0",
        "lifting_glam_o_alone_seed0",
    ]


@pytest.mark.parametrize("text", ["0/8", "9/8", "2", "2/0", "a/b", "1/8/2", "-1/8"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(grid.StudyError, match=f"shard is '{text}'; expected K/N"):
        grid.share([], text)


@pytest.mark.parametrize(
    "changes, found",
    [
        ({"tasks": ()}, "study some: tasks is empty"),
        ({"seeds": (0, 0)}, r"seeds \(0, 0\) has a value twice"),
        ({"measure": ("speed",)}, "measure has .'speed'.; expected policy, replay or audit"),
        ({"tasks": ("../x",)}, "'../x' is no name"),
        ({"variants": {"a": {"world_model_from": "b"}}}, "from 'b'; known: .'a'"),
        (
            {"variants": {"a": {"world_model_from": "b"}, "b": {"world_model_from": "a"}}},
            "which borrows itself",
        ),
    ],
)
def test_a_study_that_makes_no_grid_is_refused(changes, found):
    with pytest.raises(grid.StudyError, match=found):
        grid.expand(make(**changes))


@pytest.mark.parametrize(
    "overrides, found",
    [
        ({"data": {"targt_episodes": 3}}, "targt_episodes"),
        ({"data": {"target_episodes": "three"}}, "target_episodes"),
        ({"data": 3}, "override"),
    ],
)
def test_an_override_that_does_not_fit_is_named(overrides, found):
    (cell, *_) = grid.expand(make(overrides=overrides))
    with pytest.raises(ValueError, match=found):
        cell.config()


def test_an_unknown_method_is_the_configs_to_refuse():
    (cell, *_) = grid.expand(make(methods=("glamo",)))
    with pytest.raises(ValueError, match="unknown method 'glamo'"):
        cell.config()


# Whole and quick: cells of each study.
SIZES = {
    "main_table": (7 * 5 * 3, 7),
    "fixed_views": (2 * 5 * 3, 2 * 2 * 3),
    "few_demonstrations": (3 * 2 * 2 * 3, 3 * 2 * 2 * 3),
    "scaling": (2 * 3 * (3 + 6), 3 + 5),
    "audit_sources": (13 * 2 * 2, 13 * 2 * 2),
    "third_source": (2 * 3 * 3, 2),
    "ablations": (4 * 2 * 3, 4 * 2),
    "replay": (2 * 5 * 3, 2),
    "tuning": (7 * 4, 2 * 4),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_studies_of_the_project(name):
    for argument, size in zip(("", "quick"), SIZES[name], strict=True):
        study = get_config(name, argument)
        cells = grid.expand(study)
        assert study.name == name and len(cells) == size
        assert study.scale == ("quick" if argument else "standard")
        for cell in cells:
            if cell.method in KNOWN:
                assert cell.config().data.root == "runs/data"


@pytest.mark.parametrize("argument, mix", [("", (100, 400)), ("quick", (50, 200))])
def test_the_main_tables_mix_is_for_the_methods_that_use_it(argument, mix):
    for cell in grid.expand(get_config("main_table", argument)):
        data = cell.config().data
        alone = cell.method in config.TARGET_METHODS
        assert (data.target_episodes, data.auxiliary.umi) == (mix[0], 0 if alone else mix[1])


def test_every_study_is_known():
    assert {path.stem for path in STUDIES.glob("*.py")} == set(SIZES)


@pytest.mark.parametrize("argument", ["", "quick"])
def test_tuning_gives_every_method_as_many_trials(argument):
    study = get_config("tuning", argument)
    cells = grid.expand(study)
    counts = Counter(cell.method for cell in cells)
    assert set(counts) == set(study.methods) and set(counts.values()) == {4}
    updates = {cell.variant: cell.config().clone.steps for cell in cells}
    assert (
        updates["twice_the_updates"] == 2 * updates["defaults"] == 4 * updates["half_the_updates"]
    )


def test_scaling_has_one_world_model_for_all_of_a_seed():
    cells = grid.expand(get_config("scaling"))
    first = [cell for cell in cells if cell.seed == 0 and cell.task == "stack_two"]
    glam_o = [cell for cell in first if cell.method == "glam_o"]
    (lender,) = [cell for cell in glam_o if not cell.lender]
    assert {cell.lender for cell in glam_o} == {"", lender.name}
    data = lender.config().data
    assert (data.target_episodes, data.auxiliary.umi) == (100, 400)
    sizes = {
        (cell.config().data.target_episodes, cell.config().data.auxiliary.umi) for cell in glam_o
    }
    assert sizes == {(100, 0), (100, 100), (100, 200), (100, 400), (300, 0), (500, 0)}
    for cell in cells:
        made = cell.config()
        assert (made.data.auxiliary.umi == 0) == (made.clone.target_share == 1.0)


def test_a_wrong_argument_ends_in_one_line():
    with pytest.raises(SystemExit, match="study argument 'quikc': expected quick or nothing"):
        get_config("scaling", "quikc")
