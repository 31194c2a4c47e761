"""One HTML file that holds its pictures: what the pages of this package are made of."""

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:1200px}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:2px 8px;text-align:left}img{max-width:100%}"
    ".errors{color:#a00}.warnings{color:#850}"
)


def write(path: str | os.PathLike, title: str, parts: Sequence[str]) -> Path:
    """Writes a page of HTML parts, beside and then renamed; makes the folder; returns its path."""
    whole = (
        f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{''.join(parts)}\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(whole)
    partial.replace(path)
    return path


def heading(text: str, level: int = 2) -> str:
    """A heading; `level` 2 is below the page's title."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its header."""

    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    return f"<table>{row(rows[0], 'th')}{''.join(row(r, 'td') for r in rows[1:])}</table>"


def listing(name: str, texts: Sequence[str]) -> str:
    """A headed list: `name` is "errors" or "warnings"."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts) or "<li>none</li>"
    return f"{heading(name.capitalize())}<ul class='{name}'>{items}</ul>"


def image(figure: Figure) -> str:
    """A figure as a PNG inside the page."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return f"<img src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
