"""Changes of haproxy.cfg that keep what it does and may make it cheaper, tried here before they go into it.

One that was taken over no longer finds the text that it looks for: delete it here."""

from changes import BOUND, RULE, SERVICE
from transform import drop, insert_before, move_before, swap, together, within

BURST = r"    http-request set-var\(txn\.burst\)"
PLAN = 'var(txn.k),div(4398046511104),and(1023),map_int_int("${SUIFTLY_STATE}/maps/plans.map",0)'

# A guaranteed request meets no rule of the burst and refusal paths: what follows for it stands before them.
allow_early = within(
    SERVICE,
    move_before(BURST, BOUND),
    move_before(BURST, r"set-header X-Suiftly-"),
    insert_before(BURST, RULE + "allow if { var(txn.class) -m found }\n"),
)

# Copies that the client sent are gone already, so nothing needs to be looked for and replaced.
add_not_set = within(SERVICE, swap(r"set-header X-Suiftly-", "add-header X-Suiftly-"))

# The condition says already that it is not there.
add_not_set_after = swap(r"http-after-response set-header Access-Control-", "http-after-response add-header Access-Control-")

# No variable for the difference.
inline_over = within(
    SERVICE,
    drop(r"set-var\(txn\.over\) sc_gpc0_rate"),
    swap(r"str\(guaranteed\) if \{ var\(txn\.over\) -m int lt 0 \}",
         "str(guaranteed) if { sc_gpc0_rate(0),sub(txn.guaranteed) -m int lt 0 }"),
)

# The plan whole is only needed for burst.
plan_later = within(
    SERVICE,
    swap(r"set-var\(txn\.guaranteed\) var\(txn\.plan\)", "set-var(txn.guaranteed) " + PLAN),
    move_before(BURST, r"set-var\(txn\.plan\)"),
)

# Shorter than a UUID and made without printf: second, the process's counter, 32 random bits.
counted_id = swap(r"unique-id-format %\[uuid\]", "unique-id-format %Ts-%rt-%[rand]")

# HAProxy's own way to pass the id on, after what the client sent is gone.
own_id_header = together(
    swap(r"^    http-request set-header X-Request-Id .*$", RULE + "del-header X-Request-Id"),
    swap(r"^    unique-id-format .*$", "    unique-id-format %[uuid]\n    unique-id-header X-Request-Id"),
)

quicker_limits = together(plan_later, allow_early, inline_over)

IDEAS = {
    "allow as soon as the guaranteed class is known": allow_early,
    "add-header for X-Suiftly-*": add_not_set,
    "add-header for CORS": add_not_set_after,
    "no txn.over on the guaranteed path": inline_over,
    "txn.plan only on the burst path": plan_later,
    "all of these": together(quicker_limits, add_not_set, add_not_set_after),
    "unique-id-header": own_id_header,
    "request id from second and counter and random number": counted_id,
    "all of these with the shorter request id": together(quicker_limits, add_not_set, add_not_set_after, counted_id),
}
