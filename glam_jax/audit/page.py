"""The page of a grounding audit: one HTML file that needs no other."""

import base64
import pathlib
from collections.abc import Mapping, Sequence
from html import escape

from glam_jax.audit.gates import Gate

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35em .7em; border-bottom: 1px solid #ccc; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.pass { color: #187030; font-weight: 600; } .fail { color: #b02418; font-weight: 600; }
.note { color: #666; font-size: .88em; }
figure { margin: 1.4em 0; } img { max-width: 100%; } figcaption { color: #444; }
"""


def page(
    title: str, facts: Sequence[str], gates: Sequence[Gate], pictures: Mapping[str, pathlib.Path]
) -> str:
    """The page as text; everything that is not markup of its own is escaped.

    Args:
      title: what was audited. facts: sentences below it.
      gates: in order; the source is fit if all pass.
      pictures: caption -> PNG file, which is embedded.
    """
    fit = all(gate.passed for gate in gates)
    shown = "".join(_picture(caption, path) for caption, path in pictures.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1>\n"
        f"<p>{_verdict(fit, 'fit to use', 'NOT fit to use')}</p>\n"
        + "".join(f"<p>{escape(fact)}</p>\n" for fact in facts)
        + "<table><tr><th>gate</th><th>value</th><th>threshold</th><th></th></tr>\n"
        + "".join(map(_row, gates))
        + f"</table>\n{shown}</body></html>\n"
    )


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


def _verdict(passed: bool, good: str, bad: str) -> str:
    kind, text = ("pass", good) if passed else ("fail", bad)
    return f'<span class="{kind}">{escape(text)}</span>'


def _row(gate: Gate) -> str:
    note = f'<div class="note">{escape(gate.note)}</div>' if gate.note else ""
    return (
        f"<tr><td>{escape(gate.asks)} ({escape(gate.name)}){note}</td>"
        f'<td class="number">{gate.value:.3f}</td>'
        f'<td class="number">{escape(_bound(gate))}</td>'
        f"<td>{_verdict(gate.passed, 'pass', 'fail')}</td></tr>\n"
    )


def _picture(caption: str, path: pathlib.Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )
