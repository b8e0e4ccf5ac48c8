"""What the variants change in haproxy.cfg. The configuration itself is read, never copied."""

from transform import drop, swap, together, within

AUTH = r"req\.fhdr\(authorization\),lua\.suiftly_auth"
RULE = "    http-request "
ANSWER = "return status 200 content-type text/plain string ok"

one_thread = swap(r"^global$", "global\n    nbthread 1")


def answered_by_haproxy(text):
    """`http-request return` instead of a server. `allow` would let a request pass it, so it answers there, too."""
    text = swap(r'^    server \w+ "\$\{SUIFTLY_UPSTREAM\}".*$', RULE + ANSWER)(text)
    return text.replace(RULE + "allow", RULE + ANSWER)


def everybody_is(packed):
    """No authentication: the integer that the converter would have given."""
    return swap(AUTH, f"int({packed})")


def does_nothing(path, packed):
    """A Lua converter that returns a constant: what HAProxy's way into Lua and back costs by itself. No module can be
    cheaper than this."""
    path.write_text(f'core.register_converters("nothing", function(field) return {packed} end)\n')
    return together(swap(r"^    lua-load-per-thread .*$",
                         '    lua-load-per-thread "${SUIFTLY_HOME}/lua/suiftly.lua"\n'
                         f'    lua-load-per-thread "{path}"'),
                    swap(AUTH, "req.fhdr(authorization),lua.nothing"))


# `bytes(7)` is the cheapest way past "Bearer ", so the native variant is as quick as it can be.
native_map = swap(AUTH, 'req.fhdr(authorization),bytes(7),map_str_int("${SUIFTLY_STATE}/maps/keys.map",-1)')


def native_jwt(secret):
    """HAProxy's own JWT check. The claim `k` is the integer, so that limits, headers and log are the same. It is a
    string there, since a JSON number keeps 53 bits only; `add(0)` makes a number of it."""
    return swap(rf"^    http-request set-var\(txn\.k\) {AUTH}$",
                f'{RULE}set-var(txn.k) http_auth_bearer,jwt_payload_query(\'$.k\'),add(0) '
                f'if {{ http_auth_bearer,jwt_verify("HS256","{secret}") 1 }}')


# --- by part: what is saved when it is left out ---
SERVICE = "defaults service"
ONE_CREDENTIAL = "one credential (X-API-Key and several)"
BOUND = r"(?:str\(.413\||var\(txn\.error\) -m found)"
CONSTANT = "a constant instead of the converter"

PARTS = {
    "log": swap(r"^    log-format .*$", "    no log"),
    "HAProxy's own HTTP log instead": swap(r"^    log-format .*$", "    option httplog"),
    "request id and its headers": together(
        drop("unique-id-format", "unique-id-header", r"set-header X-Request-Id"), swap("%ID", "-")),
    "fields on every answer (CORS and request id)": drop("http-after-response"),
    "preflight": drop(r"acl preflight", r"return status 204"),
    "health page": drop(r"acl judged", r"acl served", "monitor-uri", "monitor fail"),
    ONE_CREDENTIAL: drop(
        r"add-header Authorization", r"set-header Authorization"),
    CONSTANT: None,  # needs the integer of the key that is sent
    "stripping the credential and X-Suiftly-*": drop("del-header"),
    "failing sources": drop(r"table_gpc0_rate\(refused\)"),
    "allowlist": drop(r"and\(36028797018963968\)"),
    "refused? (use_backend)": drop(r"use_backend refused if"),
    "a fixed backend instead of services.map": swap(r"^    use_backend %\[.*$", "    use_backend seal"),
    "tracking and limits": together(
        drop("track-sc0"),
        within(SERVICE, drop(r"(?:txn\.plan|txn\.guaranteed|txn\.class|sc-inc-gpc|int\(17\)|rejected 17)"),
               swap(r"\Z", RULE + "set-var(txn.class) str(guaranteed)\n"))),
    "counting outcomes": drop(r"txn\.counted", r"txn\.answered"),
    "bound of bodies": within(SERVICE, drop(BOUND)),
    "headers for the server": within(SERVICE, drop("add-header X-Suiftly-")),
}

# What a request without a credential is answered where it is not 401: without the lines that count credentials, the
# converter is not called, as if the module had failed.
REFUSED = {CONSTANT: 200, ONE_CREDENTIAL: 503}
