"""The tables of rounds, what each compares, and the bars that the product must pass."""

from dataclasses import dataclass, field

import changes
import envoy
import ideas
from rounds import alternate, least, median, ratio, spread

BARE = "bare HAProxy with HTTP log"
OURS = "our configuration"
AGAIN = "our configuration once more (A/A)"
CUSTOMERS = "our configuration with 10000 customers of mixed tiers"
TLS = "our configuration with TLS 1.3"
TLS_BASE = "our configuration without authentication with TLS 1.3"
MAP = "native map instead of the converter"
NOTHING = "a Lua converter that does nothing instead of ours"


@dataclass
class Table:
    name: str
    title: str
    baseline: str  # every ratio is to this variant
    variants: list
    note: str = ""
    how: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)

    def keep(self, wanted):
        """Only the wanted variants, and what they are compared with."""
        self.variants = [v for v in self.variants if v.name in wanted or v.name == self.baseline]

    def run(self, rounds, folder):
        self.results = alternate(self.name, self.variants, rounds, folder, **self.how)

    def ratio(self, name, baseline, figure="cpu_us"):
        """None unless both ran."""
        pair = self.results.get(name), self.results.get(baseline)
        return ratio(*pair, figure) if all(pair) else None

    def rows(self):
        base = self.results[self.baseline]
        for name, rounds in self.results.items():
            yield {
                "variant": name,
                "cpu_us": median(rounds, "cpu_us"),
                "cpu_us_min": least(rounds, "cpu_us"),
                "spread": spread(rounds, "cpu_us"),
                "ratio": ratio(rounds, base, "cpu_us"),
                "rps": median(rounds, "rps"),
                "rps_ratio": ratio(rounds, base, "rps"),
                "p50_us": median(rounds, "p50_us"),
                "p99_us": median(rounds, "p99_us"),
                "p999_us": median(rounds, "p999_us"),
                "waited": median(rounds, "waited"),
                "p50_ratio": ratio(rounds, base, "p50_us"),
                "p99_ratio": ratio(rounds, base, "p99_us"),
                "p999_ratio": ratio(rounds, base, "p999_us"),
            }


def served(make, real, quick):
    """The same variants with `http-request return` and with a real backend."""
    name, title = "return", "with `http-request return` as backend"
    if real:
        name, title = "real", "with a real backend behind keep-alive"
    variants = [
        make.bare("bare HAProxy", real, log=False),
        make.bare(BARE, real),
        make.ours(OURS, real),
        make.ours(AGAIN, real),
        make.native_map(MAP, real),
        make.does_nothing(NOTHING, real),
        make.ours(CUSTOMERS, real, credentials=make.state.many),
    ]
    if not quick:
        variants += [
            make.ours("our configuration with bursts only", real, credentials=make.state.burst),
            make.ours("our configuration without authentication", real, make.constant(), refused=200),
            make.native_jwt("JWT HS256 by HAProxy instead of the converter", real),
            make.nginx_lua("nginx with a Lua shared dictionary", real),
        ]
        if envoy.program():
            variants.append(envoy.variant("Envoy with its API-key filter and one limit", make, real))
    return Table(name, f"HAProxy {title}", BARE, variants)


def ideas_table(make):
    return Table(
        "ideas", "Ideas that keep the behaviour", OURS,
        [make.ours(OURS, False), make.ours(AGAIN, False),
         *(make.ours(name, False, change) for name, change in ideas.IDEAS.items())],
        "With `http-request return` as backend. What is worth it goes into haproxy.cfg.")


def all_tables(make, quick):
    tables = [
        served(make, False, quick),
        served(make, True, quick),
        Table("tls", "TLS 1.3 with a real backend", TLS_BASE, [
            make.bare("bare HAProxy with HTTP log and TLS 1.3", True, tls=True),
            make.ours(TLS_BASE, True, make.constant(), refused=200, tls=True),
            make.ours(TLS, True, tls=True),
        ]),
        Table("parts", "What each part costs", OURS,
              [make.ours(OURS, False), make.ours(AGAIN, False), *(make.part(name) for name in changes.PARTS)],
              "With `http-request return` as backend. A part is left out of haproxy.cfg, or replaced as its name says."),
        Table("latency", "Latency, one request at a time", "null server", [
            make.null("null server"),
            make.bare(BARE, True),
            make.ours(OURS, True),
        ], "The same client against nginx that answers at once, without a proxy before it.", {"connections": 1}),
    ]
    if quick:
        tables = [table for table in tables if table.name in ("return", "real", "parts")]
    return tables


def bars(tables, memory):
    """(what, figure or None where it was not measured, bar)"""
    by_name = {table.name: table for table in tables}

    def figure(table, name, baseline, kind="cpu_us"):
        return by_name[table].ratio(name, baseline, kind) if table in by_name else None

    slower = figure("tls", TLS, TLS_BASE, "rps")
    rows = [("whole configuration over a bare proxy with HTTP log, real backend, CPU a request",
             figure("real", OURS, BARE), 1.35)]
    for table, backend in (("return", "`return`"), ("real", "real backend")):
        rows += [
            (f"converter over the native map, {backend}, CPU a request", figure(table, OURS, MAP), 1.05),
            (f"a Lua converter that does nothing over the native map, {backend}", figure(table, NOTHING, MAP), None),
            (f"converter over a Lua converter that does nothing, {backend}", figure(table, OURS, NOTHING), None),
            (f"10,000 customers over one customer, {backend}, CPU a request", figure(table, CUSTOMERS, OURS), 1.25),
            (f"A/A, {backend}, CPU a request", figure(table, AGAIN, OURS), None),
        ]
    rows.append(("TLS 1.3, requests/s without authentication over with", slower and 1 / slower, 1 / 0.95))
    if memory:
        settled = max(value for name, value in memory.items() if name.startswith("settled"))
        peak = max(value for name, value in memory.items() if name.startswith("peak of a"))
        rows += [("memory settled, MB above bare HAProxy", settled, 64),
                 ("memory at the peak of a load, MB above bare HAProxy", peak, 128)]
    return rows
