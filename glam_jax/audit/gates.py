"""Whether an auxiliary source is fit to learn from: what is measured of it, and the gates.

All of it is read off a pretrained world model and episodes that it was not trained on; no policy
is needed, and no simulation except for replay, whose summary is handed in where there is one. Each
gate compares one number with its threshold in `config.audit`, and a source is fit if all of them
pass.

Why these numbers. A p value answers whether two sources differ at all, which with enough episodes
they always do, a good source included: it is reported, and gates nothing. What is gated are sizes
of effects, which more episodes only measure more sharply: the energy coefficient of the two
sets of latents, the area under the ROC of a classifier that tells them apart, the share of
latents that the action decoder knows, and how much of the change from frame to frame the forward
model explains. That of pictures is held against the target's own as well: alone it says first how
good the world model is, and a good one predicts even mirrored pictures better than a copy does.
Latents of two good sources may still differ, because their demonstrators move differently; so
these thresholds are wide, and the narrow question, whether the decoded actions do the task, is
left to replay. There the gate is on the lower bound of the interval: few episodes are no reason to
trust a source. Whether poses and openings mean the same in both sources, no world model can tell:
it is asked where hands hold an object, see `contact`.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict

from glam_jax.audit import contact
from glam_jax.audit.contact import Contact
from glam_jax.audit.latent_range import LatentRange
from glam_jax.audit.two_sample import energy_test, separability
from glam_jax.data.store import Store
from glam_jax.schema import Episode
from glam_jax.stages.world_model import WorldModel


@dataclasses.dataclass(frozen=True)
class Gate:
    """One question to a source.

    Attributes:
      name: key of its threshold in `config.audit`. asks: what it measures, in words.
      value: what was measured; NaN fails. threshold: its bound.
      at_least: whether the bound is the least that passes, or the most.
      best: the value of a source that could not be better.
      note: what else to know of the value, "" for nothing.
    """

    name: str
    asks: str
    value: float
    threshold: float
    at_least: bool
    best: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side of the threshold, or on it."""
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold

    @property
    def score(self) -> float:
        """1 / (1 + x^2) with x the distance from the best, in units of the threshold's: 1 for the
        best, 0.5 for the threshold, 0 for what could not be measured. Where the threshold leaves no
        room for less than the best, 1 or 0."""
        if not math.isfinite(self.value):
            return 0.0
        sign = -1.0 if self.at_least else 1.0
        room = sign * (self.threshold - self.best)
        if room <= 0:
            return float(self.passed)
        return 1.0 / (1.0 + (max(0.0, sign * (self.value - self.best)) / room) ** 2)

    def record(self) -> dict:
        """As JSON: a value that is no number is null."""
        value = self.value if math.isfinite(self.value) else None
        found = {"passed": self.passed, "score": round(self.score, 4)}
        return dataclasses.asdict(self) | {"value": value} | found


def score(gates: Sequence[Gate]) -> float:
    """The least score of all gates, in [0, 1]: a source is fit from 0.5 on."""
    return min(gate.score for gate in gates)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a world model makes of held-out episodes of a source and of the target.

    Attributes:
      z_source, z_target: latents of each episode, (T_i - 1, Z).
      decoder_range: where in latent space the action decoder was trained.
      decoded_error: on the target's transitions, as of `WorldModel.decoded_error`.
      decoded_share: the root mean square of that error over the actions' own deviation.
      latent_distance, p_value: of `energy_test`. classifier_auc: of `separability`.
      inside_range, forward_pose, forward_visual: (source, target) share of latents in the
        decoder's range, and forward error over copy baseline, of the end-effector pose and of
        the visual feature. The target's are for comparison.
      contact: of hands that hold an object; None where too few do.
    """

    z_source: list[np.ndarray]
    z_target: list[np.ndarray]
    decoder_range: LatentRange
    decoded_error: dict[str, float]
    decoded_share: float
    latent_distance: float
    p_value: float
    classifier_auc: float
    inside_range: tuple[float, float]
    forward_pose: tuple[float, float]
    forward_visual: tuple[float, float]
    contact: Contact | None = None


def measure(
    world_model: WorldModel,
    train: Sequence[Episode],
    heldout: Sequence[Episode],
    source: Sequence[Episode],
    settings: ConfigDict,
    config: ConfigDict | None = None,
) -> Evidence:
    """Measures a source against the target; nothing is simulated.

    Distances between latents are taken after whitening by the decoder's training inputs, in
    which a dimension that says nothing of the action has the unit variance of its prior.

    Args:
      world_model: of a finished stage 1, with an action decoder.
      train: target episodes that it was trained on. heldout: others.
      source: episodes of the auxiliary source, held out too.
      settings: `config.audit`. config: of the run; None is of a simulated arm.

    Raises:
      ValueError: the world model decodes no actions, or there are fewer than two episodes.
      DataError: episodes that do not go together (`recording.check_together`).
    """
    seen = (world_model.modality,)
    both, target = Store(heldout, source, seen), Store(heldout, (), seen)
    z = both.per_episode(world_model.label(both))
    z_target, z_source = z[: len(heldout)], z[len(heldout) :]
    inputs = world_model.decoder_inputs(Store(train, (), seen))
    known = LatentRange.of(inputs, settings.range_quantile)
    white_source, white_target = ([known.whiten(one) for one in z] for z in (z_source, z_target))
    apart, p_value = energy_test(white_source, white_target, settings.permutations)
    ratios = _forward_ratios(world_model, both)
    return Evidence(
        z_source=z_source,
        z_target=z_target,
        decoder_range=known,
        decoded_error=world_model.decoded_error(target, config),
        decoded_share=_decoded_share(world_model, np.concatenate(z_target), target),
        latent_distance=apart,
        p_value=p_value,
        classifier_auc=separability(white_source, white_target),
        inside_range=tuple(known.share_inside(np.concatenate(z)) for z in (z_source, z_target)),
        forward_pose=ratios["ee"],
        forward_visual=ratios["y"],
        contact=contact.compare(train, heldout, source),
    )


def judge(evidence: Evidence, settings: ConfigDict, replay: dict | None = None) -> list[Gate]:
    """The gates of a source, in the order of the report.

    Args:
      evidence: of `measure`. settings: `config.audit`.
      replay: `evaluation.replay.summary` of the source's episodes; None leaves that gate out.
    """

    def gate(name, asks, value, note="", at_least=False, best=0.0):
        return Gate(name, asks, float(value), float(settings[name]), at_least, best, note)

    def of_both(name, asks, **sense):
        source, target = getattr(evidence, name)
        return gate(name, asks, source, f"the target itself: {target:.3f}", **sense)

    share = {"at_least": True, "best": 1.0}

    found = [
        _decoding(evidence, gate),
        gate(
            "latent_distance",
            "energy coefficient between the source's and the target's latents",
            evidence.latent_distance,
            f"p = {evidence.p_value:.3g} by permuting episodes, which gates nothing",
        ),
        gate(
            "classifier_auc",
            "how well a classifier tells the source from the target by one latent (AUC)",
            evidence.classifier_auc,
            "0.5 is chance; left-out episodes",
            best=0.5,
        ),
        of_both("inside_range", "share of the source's latents in the decoder's range", **share),
        of_both("forward_pose", "forward error over copy baseline, end-effector pose"),
        of_both("forward_visual", "forward error over copy baseline, visual feature"),
        gate(
            "visual_against_target",
            "the same, over the target's own",
            np.divide(*evidence.forward_visual) if evidence.forward_visual[1] else math.nan,
            _what_pictures_tell(evidence.forward_visual[1]),
            best=1.0,
        ),
    ]
    if evidence.contact is not None:
        found += _holding(evidence.contact, gate)
    if replay is not None:
        rate = "{successes}/{trials} on {robot}, {wilson_low:.0%} to {wilson_high:.0%}"
        asks = "replay success of decoded actions, lower end of its 95% interval"
        note = rate.format(**replay)
        found.append(gate("replay_lower", asks, replay["wilson_low"], note, **share))
    return found


def _decoding(evidence: Evidence, gate: Callable[..., Gate]) -> Gate:
    """The gate of decoded actions: in mm where the robot's kinematics are known here."""
    asks = "decoded-action error on held-out target transitions"
    if (error := evidence.decoded_error.get("heldout_ee_mm")) is None:
        asks = f"{asks}, as a share of the actions' own spread"
        return gate("decoded_error_share", asks, evidence.decoded_share)
    p95 = evidence.decoded_error["heldout_ee_mm_p95"]
    note = f"95% of transitions below {p95:.1f} mm"
    return gate("decoded_error_mm", f"{asks}, mm at the gripper", error, note)


def _holding(contact: Contact, gate: Callable[..., Gate]) -> list[Gate]:
    """The gates of hands that hold an object."""
    counts = f"{contact.seen[0]} grasps seen, {contact.seen[1]} of the target"
    offset, of_target = contact.offset_mm
    opening, expected = contact.opening
    return [
        gate(
            "held_offset_mm",
            "distance of hands from where the target's hold the object, mm",
            offset,
            f"the target itself: {of_target:.1f}; {counts}",
        ),
        gate(
            "held_opening",
            "difference of the openings of hands that hold the object",
            abs(opening - expected),
            f"{opening:.2f} against {expected:.2f} of the target",
        ),
    ]


def _decoded_share(world_model: WorldModel, z: np.ndarray, heldout: Store) -> float:
    decoded, recorded = world_model.decode(z), heldout.transition_actions()
    spread = world_model.stats["action"]["std"]
    return float(np.sqrt(np.mean(np.square((np.asarray(decoded) - recorded) / spread))))


def _what_pictures_tell(of_target: float) -> str:
    if of_target > 0.9:
        return "tells little: of the target's pictures, too, this world model predicts hardly more"
    return "1 is as good as of the target; a mirrored camera lies above"


def _forward_ratios(world_model: WorldModel, store: Store) -> dict[str, tuple[float, float]]:
    """`ee`, `y` -> forward error over copy baseline of (auxiliary, target) transitions."""
    errors = world_model.forward_errors(store)
    count = int((store.lengths - 1)[: store.targets].sum())

    def ratio(part: str, rows: slice) -> float:
        copy = float(errors[f"copy_{part}"][rows].mean())
        return float(errors[f"forward_{part}"][rows].mean()) / copy if copy else math.nan

    return {
        part: (ratio(part, slice(count, None)), ratio(part, slice(count))) for part in ("ee", "y")
    }
