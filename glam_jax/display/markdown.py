"""What a report is made of, and how it is written as Markdown and CSV."""

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Sequence

from etils import epath


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text; without a title, none is shown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        body = "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)
        return f"**{self.title}**\n\n{body}" if self.title else body


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure: its short name, what it shows, and how to draw it to a path."""

    name: str
    caption: str
    draw: Callable[[epath.Path], epath.Path]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a study found.

    Attributes:
      title, notes: heading, and paragraphs below it.
      table: its numbers, rounded.
      pictures: in order.
      rows: the same numbers unrounded, one dict a row, for CSV.
    """

    title: str
    notes: Sequence[str]
    table: Table
    pictures: Sequence[Picture]
    rows: Sequence[dict]

    def markdown(self, picture_path: Callable[[str], str], level: int = 1) -> str:
        """The report as Markdown, with pictures at `picture_path(name)`."""
        pictures = [f"![{p.caption}]({picture_path(p.name)})" for p in self.pictures]
        parts = [f"{'#' * level} {self.title}", *self.notes, self.table.markdown(), *pictures]
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """The rows as CSV; a value that a row does not have is left empty."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        lines = csv.DictWriter(text, columns, lineterminator="\n")
        lines.writeheader()
        for row in self.rows:
            lines.writerow({key: _cell(value) for key, value in row.items()})
        return text.getvalue()


def number(value: float, digits: int) -> str:
    """A number with so many decimals, "-" if there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A rate as a percentage, "-" if there is none."""
    return "-" if value is None else f"{value:.0%}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _cell(value):
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else value
