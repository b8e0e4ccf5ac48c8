"""Copies of customers, by the thousand, while nothing runs: each line of standard input is `TEMPLATE COPY WALLET`.

A copy has every service of its template as it is, whatever columns the tables have: only the id differs, and the wallet. Nothing
is told to an edge: `serve` begins with a snapshot.
"""

import sqlite3
import sys


def columns(db, table):
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def copy(db, table, replaced, values):
    names = columns(db, table)
    chosen = ", ".join("?" if name in replaced else name for name in names)
    order = [name for name in names if name in replaced]
    rows = ([*(value[name] for name in order), value["template"]] for value in values)
    db.executemany(f"INSERT INTO {table} ({', '.join(names)}) SELECT {chosen} FROM {table} WHERE customer_id = ?", rows)


with sqlite3.connect(sys.argv[1]) as db:
    db.execute("PRAGMA foreign_keys = ON")
    wanted = [dict(zip(("template", "customer_id", "wallet_address"), line.split())) for line in sys.stdin]
    copy(db, "customers", {"customer_id", "wallet_address"}, wanted)
    copy(db, "services", {"customer_id"}, wanted)
db.close()
