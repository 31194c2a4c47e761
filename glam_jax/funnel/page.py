"""The page of a funnel: a decision first, then what it rests on."""

from etils import epath

from glam_jax.display import html
from glam_jax.evaluation import intervals

# Gate -> what to do about a source that fails it.
ADVICE = {
    "decoded_error_mm": "The world model itself is too coarse: more robot demonstrations.",
    "decoded_error_share": "The world model itself is too coarse: more robot demonstrations.",
    "latent_distance": "Its motions are unlike the robot's: demonstrate at the robot's pace.",
    "classifier_auc": "Its motions are unlike the robot's: demonstrate at the robot's pace.",
    "inside_range": "Its motions are unlike the robot's: check units, rate, and the task.",
    "forward_pose": "Its poses do not follow each other: check the order and rate of frames.",
    "forward_visual": "Its pictures do not follow the motion: check cameras, order of frames.",
    "visual_against_target": "Its pictures do not fit its poses: check whether they are mirrored.",
    "held_offset_mm": "Its poses or cameras are not the robot's: check which point of the hand is "
    "recorded, its origin, and where the cameras stand.",
    "held_opening": "Its gripper's opening is scaled in another way: check open and closed.",
    "replay_lower": "Its decoded actions do not do the task: check the task and the poses.",
}


def verdict(one: dict) -> str:
    """A candidate's decision in a few words."""
    if not one["fit"]:
        return f"not admitted: {', '.join(gate['name'] for gate in one['failed'])}"
    if "points" not in one:
        return "admitted; only the robot can tell what it brings"
    return "admitted: {points:+.0f} points ({points_low:+.0f} to {points_high:+.0f})".format(**one)


def advice(found: dict) -> list[str]:
    """What to do next, sentence by sentence."""
    said = []
    for one in found["candidates"]:
        todo = dict.fromkeys(ADVICE[gate["name"]] for gate in one["failed"])
        said += [f"{one['title']}: {text}" for text in todo]
    admitted = [one for one in found["candidates"] if one["fit"]]
    if not admitted:
        return [*said, "No source is admitted: collect demonstrations of the robot, or mend one."]
    known = [one for one in admitted if "points" in one]
    if not known:
        return [*said, "Train with the admitted sources, and try the policies on the robot."]
    best = max(known, key=lambda one: one["points_low"])
    if best["points_low"] > 0:
        text = f"Collect more of {best['title']}: its gain is above zero."
        if best["rate"]:
            text += f" About {best['rate']:.1f} of its demonstrations replace one of the robot."
    elif best["points_high"] < 0:
        text = "Collect demonstrations of the robot: every admitted source brings less than none."
    else:
        text = (
            "No gain is above zero beyond doubt: measure with more starts or training seeds before "
            "collecting more."
        )
    return [*said, text]


def write(path: epath.PathLike, found: dict) -> epath.Path:
    """Writes the page of what `funnel.funnel` found."""
    name = f"Which source is worth collecting: {found['task'].replace('_', ' ')}"
    facts = (
        f"Robot: {found['target']}, {found['none']['target_episodes']} demonstrations. Method "
        f"{found['method']}, scale {found['scale']}, training seed {found['seed']}; one training "
        "for each line."
    )
    simulated = (
        "Success is measured in simulation, with 95% intervals."
        if found["simulated"]
        else "The robot is not simulated here: policies are measured on held-out episodes, and "
        "only the robot can tell their success."
    )
    parts = [
        html.paragraph(f"{facts} {simulated}"),
        html.table(_table(found)),
        html.listing("next", found["next"]),
        html.heading("Why"),
    ]
    for one in found["candidates"]:
        parts.append(html.heading(one["title"], 3))
        parts += [
            html.paragraph(
                f"{gate['asks']}: {_number(gate['value'])}, expected at "
                f"{'least' if gate['at_least'] else 'most'} {gate['threshold']:g} ({gate['name']})"
            )
            for gate in one["failed"]
        ] or [html.paragraph("All gates of the audit pass.")]
        parts.append(html.Markup(f'<p><a href="{one["page"]}">The audit</a></p>'))
    parts.append(html.Markup('<p><a href="inspection.html">The data</a></p>'))
    return html.write(path, name, parts)


def _table(found: dict) -> list[tuple[str, ...]]:
    rows = [
        ("source", "episodes", "audit", "score", "replay", "success", "points more", "jerk",
         "held-out error", "its demonstrations for one of the robot")
    ]  # fmt: skip
    for name, label in (("half", "none, half of the robot's"), ("none", "none")):
        rows.append((label, "0", "", "", "", *_measured(found[name]), ""))
    for one in found["candidates"]:
        mark = html.span("pass", "admitted") if one["fit"] else html.span("fail", "not admitted")
        replay = one["replay"]
        replayed = f"{replay['successes']}/{replay['trials']}" if replay else ""
        measured = _measured(one) if "decoded_error" in one else ("", "", "", "")
        rows.append(
            (one["title"], str(one["episodes"]), mark, f"{one['score']:.2f}", replayed)
            + measured
            + (_rate(one),)
        )
    return rows


def _measured(one: dict) -> tuple[str, str, str, str]:
    """Success, points, jerk score, error on held-out episodes."""
    success = points = jerk = ""
    if "successes" in one:
        low, high = intervals.wilson(one["successes"], one["trials"])
        rate = f"{one['successes'] / one['trials']:.0%}"
        success = f"{one['successes']}/{one['trials']} = {rate} ({low:.0%} to {high:.0%})"
        jerk = _number(one["jerk_smoothness"])
    if "points" in one:
        points = "{points:+.0f} ({points_low:+.0f} to {points_high:+.0f})".format(**one)
    error = one["decoded_error"]
    if "heldout_ee_mm" in error:
        return success, points, jerk, f"{error['heldout_ee_mm']:.1f} mm"
    return success, points, jerk, _number(error["heldout_action_rms"])


def _rate(one: dict) -> str:
    if "rate" not in one:
        return ""
    bounds = [_number(one[key], "no number") for key in ("rate_low", "rate_high")]
    return f"{_number(one['rate'], 'no number')} ({bounds[0]} to {bounds[1]})"


def _number(value: float | None, none: str = "-") -> str:
    return none if value is None else f"{value:.3g}"
