"""Lines of a report: the cells that one is about, as text for a table and as numbers for CSV."""

import dataclasses
from collections.abc import Mapping, Sequence

from glam_jax.display.markdown import Table, number, percent
from glam_jax.study.reports import names, rates


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
      keys: what it is about, such as {"task": "lifting", "method": "mip"}.
      cells: records, see `summary.record`; a line without any is in no table.
      against: records whose rate minus the line's is given; none: no difference.
      paper: the rate that the paper reports.
    """

    keys: dict
    cells: Sequence[dict]
    against: Sequence[dict] = ()
    paper: float | None = None

    def rows(self, against: str) -> list[dict]:
        """All numbers, one dict for each thing that was measured.

        Args:
          against: what `Line.against` is, in words.
        """
        paper = {"paper_success_rate": self.paper}
        if not self.cells:
            return [self.keys | paper] if self.paper is not None else []
        found = []
        for what in rates.measured(self.cells):
            rate = rates.pooled(self.cells, what)
            row = self.keys | {"measured": what} | dataclasses.asdict(rate)
            row |= paper | rates.errors(self.cells, what)
            if gap := rates.difference(self.against, self.cells, what):
                row |= {"difference_from": against} | dataclasses.asdict(gap)
                row |= rates.nearer(self.against, self.cells, what)
            found.append(row)
        return found


def table(columns: Mapping[str, str], lines: Sequence[Line], against: str) -> Table:
    """The lines that have cells: keys, each success, decoded error and, where a line has one, the
    paper's rate and the difference.

    Args:
      columns: heading of each key that is shown. against: what `Line.against` is, in words.
    """
    lines = [line for line in lines if line.cells]
    measured = [{_heading(what): what for what in rates.measured(line.cells)} for line in lines]
    successes = list(dict.fromkeys(heading for found in measured for heading in found))
    shows_paper = any(line.paper is not None for line in lines)
    shows_gap = len(successes) == 1 and any(line.against for line in lines)
    rows = []
    for line, found in zip(lines, measured, strict=True):
        texts = [names.WORDS[key](line.keys[key]) for key in columns]
        for heading in successes:
            rate = rates.pooled(line.cells, found.get(heading, ""))
            texts.append(rate.text() if rate else "-")
        first = next(iter(found.values()))
        texts.append(number(rates.errors(line.cells, first)["decoded_error_mm"], 1))
        if shows_paper:
            texts.append(percent(line.paper))
        if shows_gap:
            gap = rates.difference(line.against, line.cells, first)
            texts.append(gap.text() if gap else "-")
        rows.append(texts)
    headings = [*columns.values(), *successes, "decoded error, mm"]
    headings += ["paper"] * shows_paper + [f"{against} minus this, points"] * shows_gap
    return Table("", headings, rows)


def _heading(what: str) -> str:
    return "success" if what == rates.POLICY else f"replay of {names.replayed(what)} episodes"
