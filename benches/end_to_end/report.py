"""Figures as Markdown, and the section of benches/REPORT.md that holds them."""

from machine import REPOSITORY

BEGIN, END = "<!-- end-to-end:begin -->", "<!-- end-to-end:end -->"
REPORT = REPOSITORY / "benches/REPORT.md"


def grid(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def served_table(table):
    head = ["variant", "CPU µs/request", "min", "spread", "CPU ratio", "requests/s", "rps ratio", "p50 µs", "p99 µs", "p99.9 µs", "waited"]
    return grid(head, [[
        r["variant"], f'{r["cpu_us"]:.2f}', f'{r["cpu_us_min"]:.2f}', f'{r["spread"]:.0%}', f'{r["ratio"]:.3f}',
        f'{r["rps"]:,.0f}', f'{r["rps_ratio"]:.3f}', f'{r["p50_us"]:.0f}', f'{r["p99_us"]:.0f}', f'{r["p999_us"]:.0f}', f'{r["waited"]:.0%}',
    ] for r in table.rows()])


def parts_table(table):
    rows = list(table.rows())
    base = next(r for r in rows if r["variant"] == table.baseline)
    head = ["variant", "CPU µs/request", "min", "spread", "CPU ratio", "saves µs (medians)", "saves µs (minima)", "waited"]
    return grid(head, [[
        r["variant"], f'{r["cpu_us"]:.2f}', f'{r["cpu_us_min"]:.2f}', f'{r["spread"]:.0%}', f'{r["ratio"]:.3f}',
        f'{base["cpu_us"] - r["cpu_us"]:.2f}', f'{base["cpu_us_min"] - r["cpu_us_min"]:.2f}', f'{r["waited"]:.0%}',
    ] for r in rows])


def latency_table(table):
    head = ["variant", "p50 µs", "ratio", "p99 µs", "ratio", "p99.9 µs", "ratio", "requests/s"]
    return grid(head, [[
        r["variant"], f'{r["p50_us"]:.0f}', f'{r["p50_ratio"]:.2f}', f'{r["p99_us"]:.0f}', f'{r["p99_ratio"]:.2f}',
        f'{r["p999_us"]:.0f}', f'{r["p999_ratio"]:.2f}', f'{r["rps"]:,.0f}',
    ] for r in table.rows()])


LAYOUTS = {"parts": parts_table, "ideas": parts_table, "latency": latency_table}


def bars_table(bars):
    def verdict(figure, bar):
        if figure is None:
            return "not measured"
        return "" if bar is None else "passes" if figure <= bar else "**fails**"

    return grid(["figure", "measured", "at most", ""], [[
        what, "" if figure is None else f"{figure:.3f}", "" if bar is None else f"{bar:.3f}", verdict(figure, bar),
    ] for what, figure, bar in bars])


def markdown(facts, rounds, tables, bars, memory):
    parts = [
        "## End to end",
        f"Written by `scripts/bench`. HAProxy has one thread, pinned to one core; client and backend are on another. "
        f"{rounds} alternating rounds of 2 s, 32 connections kept alive, 20,000 keys in turn, every answer 200, every "
        "request logged to a file in memory. CPU is user and system time over requests. Figures are medians; a ratio is "
        "the median of the ratios of rounds beside each other; spread is (max − min) / median.",
        grid(["", ""], [[name, str(value)] for name, value in facts.items() if value]),
        "### Bars", bars_table(bars),
    ]
    for table in tables:
        parts += [f"### {table.title}", *([table.note] if table.note else []),
                  f"Ratios are to: {table.baseline}.", LAYOUTS.get(table.name, served_table)(table)]
    if memory:
        parts += ["### Memory: 1,000,000 revocations and 100,000 policies",
                  grid(["figure", ""], [[name, f"{value:.1f}"] for name, value in memory.items()])]
    return "\n\n".join(parts) + "\n"


def write_section(section):
    """Replaces our section; the rest of the file is somebody else's."""
    text = REPORT.read_text() if REPORT.exists() else "# Measurements\n"
    ours = f"{BEGIN}\n{section}{END}"
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        text = before + ours + rest.split(END, 1)[1]
    else:
        text = text.rstrip("\n") + "\n\n" + ours + "\n"
    REPORT.write_text(text)
