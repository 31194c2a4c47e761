"""What a demonstration is worth: exchange rates of curves that are known."""

import fake_study
import pytest

from glam_jax.study import grid
from glam_jax.study.grid import StudyError
from glam_jax.study.reports import summary
from glam_jax.study.reports.exchange import Costs, cheapest, costs, report, worths


def cells(rate, trials=10_000):
    """Records of three training seeds with one success rate."""
    counts = {"successes": round(rate * trials), "trials": trials, "outcomes": []}
    return [{"task": "lifting", "seed": seed, "policy": counts} for seed in range(3)]


def curve(**rates):
    return {int(size[1:]): cells(rate) for size, rate in rates.items()}


TARGET = curve(n100=0.2, n200=0.4, n400=0.8)
CHEAP = Costs(target=10.0, auxiliary=1.0, wanted=0.6)


def test_rates_follow_from_the_curves():
    found = worths(curve(n100=0.2, n200=0.3, n500=0.6), TARGET, CHEAP)
    assert [one.auxiliary for one in found] == [100, 400]
    assert [one.equivalent for one in found] == pytest.approx([50, 200], rel=0.01)
    for one in found:
        assert one.low < one.equivalent < one.high < 1.1 * one.equivalent
        assert one.rate_text().startswith("2.0 (")


def test_more_trials_make_intervals_narrower():
    def width(trials):
        extra = {100: cells(0.2, trials), 200: cells(0.3, trials)}
        target = {100: cells(0.2, trials), 200: cells(0.4, trials)}
        (one,) = worths(extra, target, CHEAP)
        return one.high - one.low

    assert 2 < width(100) / width(1600) < 6


def test_what_is_better_than_the_most_target_is_a_bound():
    (one,) = worths(curve(n100=0.2, n300=0.9), TARGET, CHEAP)
    assert one.equivalent == one.most == 300
    assert one.rate_text() == "at most 0.7 (at most 0.7 to at most 0.7)"


def test_what_brings_nothing_replaces_nothing():
    (one,) = worths(curve(n100=0.2, n300=0.1), TARGET, CHEAP)
    assert one.equivalent == 0 and not one.pays
    assert one.rate_text().startswith("any number")


def test_it_pays_while_what_is_added_costs_less_than_what_it_replaces():
    extra = curve(n100=0.2, n200=0.3, n500=0.32)  # 2, then 30 for one
    assert [one.pays for one in worths(extra, TARGET, CHEAP)] == [True, False]
    dear = Costs(target=1.0, auxiliary=1.0, wanted=0.6)
    assert [one.pays for one in worths(extra, TARGET, dear)] == [False, False]


def test_the_cheapest_mix_is_first():
    extra = curve(n100=0.2, n500=0.6)
    text = cheapest(extra, TARGET, CHEAP)
    assert text == (
        "For a success of 60%, 100 of the robot and 400 of the auxiliary source cost 1400; "
        "300 of the robot alone cost 3000."
    )
    dear = Costs(target=1.0, auxiliary=10.0, wanted=0.6)
    assert cheapest(extra, TARGET, dear).startswith("For a success of 60%, 300 of the robot alone")
    high = Costs(target=1.0, auxiliary=1.0, wanted=0.95)
    assert "No measured mix reaches 95%; the best has 80%" in cheapest(extra, TARGET, high)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scaling", 10.0, None, 0.8), "auxiliary_cost is not given"),
        (("scaling", 0.0, 1.0, 0.8), "target_cost is 0; expected a number above 0"),
        (("scaling", 1.0, float("nan"), 0.8), "auxiliary_cost is nan"),
        (("scaling", 1.0, 1.0, 80.0), "wanted is 80; expected a success rate between 0 and 1"),
        (("main_table", 1.0, 1.0, 0.8), "are of study scaling, not of main_table"),
    ],
)
def test_costs_are_checked(arguments, message):
    with pytest.raises(StudyError, match=message):
        costs(*arguments)


def test_no_costs_are_none():
    assert costs("main_table", None, None, 0.8) is None


@pytest.fixture
def scaling():
    """A scaling study of lifting with one seed, from 50 of the robot."""
    data = {
        "auxiliary100": {"target_episodes": 50, "auxiliary": {"umi": 50}},
        "target50": {"target_episodes": 50, "auxiliary": {"umi": 0}},
        "target100": {"target_episodes": 100, "auxiliary": {"umi": 0}},
    }
    alone = {"pretrain": {"target_share": 1.0}, "clone": {"target_share": 1.0}}
    return grid.study(
        "scaling",
        quick=True,
        tasks=("lifting",),
        methods=("glam_o",),
        seeds=(0,),
        variants={
            name: {"overrides": {"data": mix} | ({} if mix["auxiliary"]["umi"] else alone)}
            for name, mix in data.items()
        },
    )


def test_the_report_is_of_the_cells_that_are_done(scaling, tmp_path):
    made = Costs(target=10.0, auxiliary=1.0, wanted=0.6)
    found = summary.collect(scaling, tmp_path)
    assert "lifting: the cells of both curves of GLAM-O are not done" in report(found, made)
    fake_study.finish(scaling, tmp_path)
    assert "**lifting, from 50 of the robot**" in report(summary.collect(scaling, tmp_path), made)
