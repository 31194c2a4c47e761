"""The funnel's configs, what a source is worth, and the page."""

import pytest

from glam_jax import config
from glam_jax.errors import ConfigError
from glam_jax.funnel import funnel, page, worth


def measured(successes, episodes, trials=10_000):
    return {
        "successes": successes,
        "trials": trials,
        "target_episodes": episodes,
        "jerk_smoothness": -18.5,
        "fft_smoothness": None,
        "decoded_error": {"heldout_ee_mm": 7.5},
    }


NONE, HALF = measured(4000, 100), measured(3000, 50)
GATE = {
    "name": "held_offset_mm",
    "asks": "distance <b>",
    "value": 30.0,
    "threshold": 15.0,
    "at_least": False,
}


def candidate(name="umi", successes=8000, failed=()):
    made = {
        "name": name,
        "title": name,
        "episodes": 300,
        "fit": not failed,
        "score": 0.7,
        "replay": {"successes": 19, "trials": 20},
        "failed": list(failed),
        "page": f"{name}/audit_{name}.html",
    }
    if not failed:
        made |= {
            **measured(successes, 100),
            **worth.of(measured(successes, 100) | made, NONE, HALF),
        }
    return made | {"verdict": page.verdict(made)}


def test_a_source_is_worth_what_the_targets_own_rise_says():
    # 0.2 points for each of the robot; 40 points by 300 of the source replace 200 of the robot.
    found = candidate()
    assert found["points"] == pytest.approx(40) and found["points_low"] > 38
    assert found["rate"] == pytest.approx(1.5)
    assert 1.2 < found["rate_low"] < 1.5 < found["rate_high"] < 1.8
    assert candidate(successes=3000)["rate"] is None  # nothing is gained
    assert worth.of({"episodes": 300}, NONE, HALF) == {}


def test_each_candidate_is_alone_and_half_is_half():
    made = funnel.made_of(config.make("lifting", "scale=quick"), ("umi", "kinova"))
    mixes = {name: dict(one.data.auxiliary) for name, one in made.items()}
    assert mixes == {
        "umi": {"umi": 300, "kinova": 0, "kinova_real": 0},
        "kinova": {"umi": 0, "kinova": 300, "kinova_real": 0},
        "none": {"umi": 0, "kinova": 0, "kinova_real": 0},
        "half": {"umi": 0, "kinova": 0, "kinova_real": 0},
    }
    assert {name: one.data.target_episodes for name, one in made.items()} == {
        "umi": 100, "kinova": 100, "none": 100, "half": 50,
    }  # fmt: skip
    for name, one in made.items():
        assert (one.clone.target_share == 1.0) == (name in ("none", "half"))


@pytest.mark.parametrize(
    ("argument", "candidates", "message"),
    [
        ("method=mip", ("umi",), "method is mip; expected one whose world model decodes actions"),
        ("", ("umii",), "candidates has 'umii'; expected each of kinova, umi at most once"),
        ("", ("kinova_real",), "candidates has 'kinova_real'"),
        ("", ("umi", "umi"), "candidates has 'umi'"),
    ],
)
def test_what_cannot_be_a_candidate_is_refused(argument, candidates, message):
    with pytest.raises(ConfigError, match=message):
        funnel.made_of(config.make("lifting", argument), candidates)


def test_advice_follows_from_what_was_found():
    gain, bad = candidate(), candidate("kinova", failed=[GATE])
    none = candidate("other", successes=4001)

    def said(*candidates):
        return " ".join(page.advice({"candidates": list(candidates)}))

    assert "kinova: Its poses or cameras are not the robot's" in said(gain, bad)
    assert "Collect more of umi" in said(gain, bad) and "About 1.5 of its" in said(gain, bad)
    assert "No source is admitted" in said(bad)
    assert "No gain is above zero" in said(none)
    assert "every admitted source brings less" in said(candidate(successes=100))


def test_every_gate_has_advice():
    gates = {name for name in config.make("lifting").audit if name in page.ADVICE}
    assert gates == set(page.ADVICE)
    others = {"range_quantile", "permutations"}  # how it is measured
    assert set(config.make("lifting").audit) - gates == others


def test_the_page_says_who_is_admitted_and_why_not(tmp_path):
    candidates = [candidate(), candidate("kinova", failed=[GATE])]
    found = {
        "candidates": candidates, "none": NONE, "half": HALF, "task": "lifting",
        "method": "glam_o", "scale": "quick", "seed": 0, "target": "arm", "simulated": True,
    }  # fmt: skip
    found["next"] = page.advice(found)
    text = page.write(tmp_path / "funnel.html", found).read_text()
    assert candidates[0]["verdict"] == "admitted: +40 points (+39 to +41)"
    assert candidates[1]["verdict"] == "not admitted: held_offset_mm"
    for part in ("19/20", "80%", "+40 (+39 to +41)", "1.5 (", "audit_kinova.html", "at most 15"):
        assert part in text, part
    assert "<b>" not in text
