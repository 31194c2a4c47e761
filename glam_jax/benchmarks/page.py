"""Results of a benchmark as a Markdown page."""

from glam_jax.reports.blocks import Table

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
COLUMNS = (
    "measured", "per second", "seconds (quartiles)", "repeats", "ratio (quartiles)",
    "FLOP", "of matrix product", "bytes", "of copy",
)  # fmt: skip
_NOTE = (
    "Seconds are those of one call, the median of all repeats. The ratio is the time of one unit "
    "over that of a fixed computation beside it: lower is better. FLOP and bytes are what a call "
    "must do at the least; the shares are how much of the machine's own measured ceilings that is."
)


def markdown(results: dict) -> str:
    """The page: the machine, its ceilings, and a table of all measurements."""
    here, ceilings, about = results["machine"], results["ceilings"], results["about"]
    flops = ", ".join(
        f"{si(value)}FLOP/s in {dtype}" for dtype, value in ceilings["flops_per_s"].items()
    )
    machine = [
        f"{here['processor']}, {here['cores']} cores; {here['devices']} x {here['device']}",
        "Python " + here["python"],
        *(f"{name} {version}" for name, version in here["packages"].items()),
    ]
    parts = [
        "# Benchmark",
        "; ".join(machine) + ".",
        "; ".join(f"{key}: {value}" for key, value in about.items()) + ".",
        f"Ceilings: matrix product {flops}; copy {si(ceilings['bytes_per_s'])}B/s. "
        f"Fixed computation, {results['reference']}.",
        _NOTE,
        Table("Measured", COLUMNS, [_line(row) for row in results["measurements"]]).markdown(),
    ]
    return "\n\n".join(parts) + "\n"


def si(value: float) -> str:
    """A number with three digits and a prefix.

    >>> si(1234567.0)
    '1.23 M'
    """
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def _line(row: dict) -> tuple[str, ...]:
    if "error" in row:
        return (row["name"], row["error"], *["-"] * (len(COLUMNS) - 2))
    measured = (
        row["name"],
        f"{si(row['per_second'])}{row['unit']}s",
        _spread(row["seconds"]),
        str(len(row["seconds"]["repeats"])),
        _spread(row["ratio"]),
    )
    if "flops" not in row:
        return (*measured, *["not counted"] * 4)
    bound = "≥ " if row["flops_at_least"] else ""
    return (
        *measured,
        bound + si(row["flops"]).strip(),
        f"{bound}{row['flops_share']:.2%}",
        si(row["bytes"]).strip(),
        f"{row['bytes_share']:.2%}",
    )


def _spread(values: dict) -> str:
    low, high = values["quartiles"]
    return f"{values['median']:.3g} ({low:.3g} to {high:.3g})"
