"""The page of a grounding audit, and its table for the terminal."""

from collections.abc import Mapping, Sequence

from etils import epath

from glam_jax import files
from glam_jax.audit.gates import Gate
from glam_jax.display import html


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
    parts = [html.paragraph(text) for text in (verdict, *facts)]
    parts.append(html.table([("gate", "value", "threshold", ""), *map(_row, gates)]))
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
    return html.Markup(asked), f"{gate.value:.3f}", _bound(gate), html.span(passed, passed)
