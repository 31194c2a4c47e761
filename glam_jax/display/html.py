"""One HTML file that holds its pictures: what all pages of this package are made of."""

import base64
import html
import io
from collections.abc import Sequence

from etils import epath
from matplotlib.figure import Figure

from glam_jax import files

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } img { max-width: 100%; } figure { margin: 1.4em 0; }
th, td { text-align: left; padding: .25em .7em; border-bottom: 1px solid #ccc; }
td { font-variant-numeric: tabular-nums; } figcaption { color: #444; }
.pass { color: #187030; font-weight: 600; } .fail { color: #b02418; font-weight: 600; }
.note { color: #666; font-size: .88em; } .errors { color: #a00; } .warnings { color: #850; }
"""


class Markup(str):
    """Text that is HTML already; every other text is escaped."""


def page(title: str, parts: Sequence[Markup]) -> str:
    """A whole page of parts, below its title."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_escaped(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body>{heading(title, 1)}\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def write(path: epath.PathLike, title: str, parts: Sequence[Markup]) -> epath.Path:
    """Writes a page; makes the folder; returns its path."""
    files.write_text(path, page(title, parts))
    return files.path(path)


def heading(text: str, level: int = 2) -> Markup:
    """A heading; `level` 2 is below the page's title."""
    return Markup(f"<h{level}>{_escaped(text)}</h{level}>")


def paragraph(text: str) -> Markup:
    """A paragraph of text."""
    return Markup(f"<p>{_escaped(text)}</p>")


def span(kind: str, text: str) -> Markup:
    """Words of a kind: "pass", "fail" or "note"."""
    return Markup(f'<span class="{kind}">{_escaped(text)}</span>')


def table(rows: Sequence[Sequence[str]]) -> Markup:
    """A table whose first row is its header."""

    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{_escaped(c)}</{tag}>" for c in cells) + "</tr>\n"

    body = "".join(row(cells, "td") for cells in rows[1:])
    return Markup(f"<table>{row(rows[0], 'th')}{body}</table>")


def listing(name: str, texts: Sequence[str]) -> Markup:
    """A headed list: `name` is "errors" or "warnings"."""
    items = "".join(f"<li>{_escaped(text)}</li>" for text in texts or ["none"])
    return Markup(f'{heading(name.capitalize())}<ul class="{name}">{items}</ul>')


def picture(png: bytes, caption: str = "") -> Markup:
    """The content of a PNG file inside the page, with a caption below it."""
    data, text = base64.b64encode(png).decode(), _escaped(caption)
    below = f"<figcaption>{text}</figcaption>" if caption else ""
    shown = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return Markup(f"<figure>{shown}{below}</figure>")


def drawing(figure: Figure) -> Markup:
    """A figure as a picture inside the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return picture(buffer.getvalue())


def _escaped(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text)
