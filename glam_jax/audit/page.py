"""The page of a grounding audit, its table for the terminal, and its figures of latents."""

from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from glam_jax import files
from glam_jax.audit.gates import Gate, score
from glam_jax.audit.latent_range import LatentRange
from glam_jax.audit.two_sample import thin
from glam_jax.display import charts, html

BINS = 60
# Label -> episodes of latents, each (T_i, Z).
Groups = dict[str, Sequence[np.ndarray]]


def page(
    title: str, facts: Sequence[str], gates: Sequence[Gate], pictures: Mapping[str, epath.PathLike]
) -> str:
    """The page as text; it needs no other file.

    Args:
      title: what was audited. facts: sentences below it.
      gates: in order; the source is fit if all pass.
      pictures: caption -> PNG file, which is embedded.
    """
    fit = all(gate.passed for gate in gates)
    verdict = html.span("pass", "fit to use") if fit else html.span("fail", "NOT fit to use")
    facts = [f"Score {score(gates):.2f}, fit from 0.50 on: the least of all gates.", *facts]
    parts = [html.paragraph(text) for text in (verdict, *facts)]
    parts.append(html.table([("gate", "value", "threshold", "score", ""), *map(_row, gates)]))
    shown = [html.picture(files.read_bytes(file), name) for name, file in pictures.items()]
    return html.page(title, parts + shown)


def table(gates: Sequence[Gate]) -> str:
    """The gates as lines for the terminal."""
    width = max(len(gate.name) for gate in gates)
    lines = []
    for gate in gates:
        verdict = "pass" if gate.passed else "FAIL"
        value = f"{gate.value:8.3f}  {_bound(gate):<14}"
        lines.append(f"{verdict}  {gate.name:<{width}}  {value}  {gate.note}".rstrip())
    return "\n".join(lines)


def _bound(gate: Gate) -> str:
    return f"at {'least' if gate.at_least else 'most'} {gate.threshold:g}"


def _row(gate: Gate) -> tuple[str, ...]:
    asked = html.paragraph(f"{gate.asks} ({gate.name})") + html.span("note", gate.note)
    passed = "pass" if gate.passed else "fail"
    numbers = f"{gate.value:.3f}", _bound(gate), f"{gate.score:.2f}"
    return html.Markup(asked), *numbers, html.span(passed, passed)


# --- Figures ----------------------------------------------------------------------------


def scatter(path: epath.PathLike, groups: Groups, known: LatentRange) -> epath.Path:
    """Writes a PNG of latents on the first two principal components of the first group.

    Args:
      path: where to write.
      groups: latents, Z at least 2; the first group is behind.
      known: of the decoder; latents are whitened by it before.
    """
    white = {
        label: known.whiten(np.concatenate([thin(z) for z in episodes]))
        for label, episodes in groups.items()
    }
    first = next(iter(white.values()))
    centre = first.mean(axis=0)
    _, _, axes = np.linalg.svd(first - centre, full_matrices=False)
    figure, panel = _figure("first principal component", "second principal component")
    for (label, z), colour in zip(white.items(), charts.COLOURS, strict=False):
        x, y = ((z - centre) @ axes[:2].T).T
        panel.scatter(x, y, s=4, alpha=0.35, color=colour, linewidth=0, label=label)
    panel.legend(fontsize=8, markerscale=3)
    return charts.save_figure(path, figure)


def distances(path: epath.PathLike, groups: Groups, known: LatentRange) -> epath.Path:
    """Writes a PNG of histograms of the latents' distances from the decoder's training inputs.

    Args are those of `scatter`. The dashed line is the end of the decoder's range.
    """
    found = {label: known.distance(np.concatenate(z)) for label, z in groups.items()}
    least = min(d.min() for d in found.values())
    most = max(known.limit, *(d.max() for d in found.values()))
    edges = np.geomspace(max(least, 1e-3), most * 1.01, BINS)
    figure, panel = _figure("Mahalanobis distance", "share of latents")
    for (label, d), colour in zip(found.items(), charts.COLOURS, strict=False):
        weights = np.full(len(d), 1.0 / len(d))
        panel.hist(d, edges, weights=weights, color=colour, alpha=0.5, label=label)
    panel.axvline(known.limit, color="black", linestyle="--", linewidth=1.0, label="range")
    panel.set_xscale("log")
    panel.legend(fontsize=8)
    return charts.save_figure(path, figure)


def _figure(x_axis: str, y_axis: str):
    """A figure and its only panel."""
    figure = Figure(figsize=(5.0, 4.2), dpi=110, layout="constrained")
    panel = figure.subplots()
    panel.set_xlabel(x_axis, fontsize=8)
    panel.set_ylabel(y_axis, fontsize=8)
    panel.tick_params(labelsize=8)
    return figure, panel
