-- Plays the edge module in tests of the agent: the same words on the runtime socket, the same checksums, in plain Lua.
-- It shares nothing with the Rust code, so that both must follow edgeformat's description. It judges no request.
-- `suiftly fault forget|lie|cut|gap` makes it go wrong once; `suiftly fault old` makes it one from before allowlists.

local state = { stream = "0000000000000000", sequence = 0, policies = {}, revocations = {}, allowlists = {} }
local load = nil
local fault = nil
local old = false
local instance = string.format("%016x", os.time() * 1000003 + tonumber(tostring({}):match("0x(%x+)"), 16) % 1000003)

local K = {}
do
    -- FIPS 180-4: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    local n, found = 2, 0
    while found < 64 do
        local prime = true
        for d = 2, n - 1 do
            if d * d > n then break end
            if n % d == 0 then prime = false break end
        end
        if prime then
            -- A double has room for the 3 bits before the point and 32 behind it.
            local root = n ^ (1 / 3)
            found = found + 1
            K[found] = math.floor((root - math.floor(root)) * 4294967296.0)
        end
        n = n + 1
    end
end

local function sha256_first8(message)
    local function rotr(x, n) return ((x >> n) | (x << (32 - n))) & 0xffffffff end
    local h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 }
    local bits = #message * 8
    message = message .. "\128" .. string.rep("\0", (55 - #message) % 64) .. string.pack(">I8", bits)
    for at = 1, #message, 64 do
        local w = { string.unpack(">" .. string.rep("I4", 16), message, at) }
        for i = 17, 64 do
            local a, b = w[i - 15], w[i - 2]
            local s0 = rotr(a, 7) ~ rotr(a, 18) ~ (a >> 3)
            local s1 = rotr(b, 17) ~ rotr(b, 19) ~ (b >> 10)
            w[i] = (w[i - 16] + s0 + w[i - 7] + s1) & 0xffffffff
        end
        local a, b, c, d, e, f, g, hh = table.unpack(h)
        for i = 1, 64 do
            local s1 = rotr(e, 6) ~ rotr(e, 11) ~ rotr(e, 25)
            local t1 = (hh + s1 + ((e & f) ~ (~e & 0xffffffff & g)) + K[i] + w[i]) & 0xffffffff
            local s0 = rotr(a, 2) ~ rotr(a, 13) ~ rotr(a, 22)
            local t2 = (s0 + ((a & b) ~ (a & c) ~ (b & c))) & 0xffffffff
            hh, g, f, e, d, c, b, a = g, f, e, (d + t1) & 0xffffffff, c, b, a, (t1 + t2) & 0xffffffff
        end
        local v = { a, b, c, d, e, f, g, hh }
        for i = 1, 8 do h[i] = (h[i] + v[i]) & 0xffffffff end
    end
    return (h[1] << 32) | h[2]
end

local SERVICES = { seal = 1, grpc = 2, graphql = 3 }
local STATES = {
    enabled = 0, disabled = 1, suspended_no_payment = 2, suspended_spending_limit = 3, suspended_operator = 4,
    customer_suspended = 5,
}
local KINDS = { revoked = 0, expired = 1 }

local function digest_of_policy(text)
    local customer, service, st, plan, allow = text:match("^(%d+):(%l+):([%l_]+):(%d+):([%l-]+)$")
    return sha256_first8("p" .. string.pack(">I4BBI2B", tonumber(customer), SERVICES[service], STATES[st],
        tonumber(plan), allow == "allowlist" and 1 or 0))
end

local function digest_of_revocation(text)
    local fingerprint, from, kind = text:match("^(%x+):(%d+):(%l+)$")
    local high, low = tonumber(fingerprint:sub(1, 8), 16), tonumber(fingerprint:sub(9), 16)
    return sha256_first8(string.pack(">I4I4I8", high, low, tonumber(from)) .. "r" .. string.char(KINDS[kind]))
end

-- The 16 bytes of an IPv6 address; the ones that the tests use have no IPv4 part.
local function ipv6_bytes(text)
    local function groups(part)
        local found = {}
        for group in part:gmatch("%x+") do found[#found + 1] = string.pack(">I2", tonumber(group, 16)) end
        return found
    end
    local head, tail = text:match("^(.*)::(.*)$")
    local left, right = groups(head or text), groups(tail or "")
    return table.concat(left) .. string.rep("\0", 16 - 2 * (#left + #right)) .. table.concat(right)
end

local function digest_of_allowed(text)
    local customer, service, address, len = text:match("^(%d+):(%l+):(.+)/(%d+)$")
    local a, b, c, d = address:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
    local network = a and string.char(a, b, c, d) .. string.rep("\0", 12) or ipv6_bytes(address)
    return sha256_first8("a" .. string.pack(">I4BBB", tonumber(customer), SERVICES[service], a and 4 or 6, tonumber(len))
        .. network)
end

-- Each entry is hashed once, when it comes: HAProxy's watchdog ends a process whose command computes for long.
local digests = {}

local function hashed(text, digest)
    digests[text] = digests[text] or digest(text)
    return text
end

local function table_status(entries)
    local count, sum = 0, 0
    for _, text in pairs(entries) do
        count = count + 1
        sum = sum + digests[text]
    end
    return count, string.format("%016x", sum)
end

local function change(tables, text)
    local kind, rest = text:match("^([+-][pralg]):(.+)$")
    if old and kind and kind:sub(2) == "a" then return false end
    if kind == "+p" then tables.policies[rest:match("^%d+:%l+")] = hashed(rest, digest_of_policy)
    elseif kind == "-p" then tables.policies[rest] = nil
    elseif kind == "+r" then tables.revocations[rest:match("^%x+")] = hashed(rest, digest_of_revocation)
    elseif kind == "-r" then tables.revocations[rest] = nil
    elseif kind == "+a" then tables.allowlists[rest] = hashed(rest, digest_of_allowed)
    elseif kind == "-a" then tables.allowlists[rest] = nil
    elseif not kind or not kind:match("[lg]") then return false end
    return true
end

local function refused(code)
    return string.format('{"result":"refused","code":"%s","detail":"the stand-in says so","sequence":%d}\n', code, state.sequence)
end

local function ok(changes)
    return string.format('{"result":"ok","sequence":%d,"changes":%d,"policies":%d,"revocations":%d}\n', state.sequence,
        changes, (table_status(state.policies)), (table_status(state.revocations)))
end

local function apply_all(tables, checksum, changes)
    if string.format("%016x", sha256_first8(changes)) ~= checksum then return nil end
    local count = 0
    if changes ~= "-" then
        for text in changes:gmatch("[^,]+") do
            if not change(tables, text) then return nil end
            count = count + 1
        end
    end
    return count
end

local verbs = {}

function verbs.delta(stream, from, to, checksum, changes)
    from, to = tonumber(from), tonumber(to)
    if stream ~= state.stream then return refused("other_stream") end
    if fault == "gap" then fault = nil return refused("gap") end
    if to <= state.sequence then return ok(0) end
    if from > state.sequence then return refused("gap") end
    local target = state
    if fault == "lie" then fault = nil target = { policies = {}, revocations = {}, allowlists = {} } end
    local count = apply_all(target, checksum, changes)
    if not count then return refused("malformed") end
    state.sequence = to
    return ok(count)
end

function verbs.begin(number, stream, sequence, policies, revocations, allowlists)
    load = { number = number, parts = 0, expected = { tonumber(policies), tonumber(revocations), tonumber(allowlists or 0) },
        tables = { stream = stream, sequence = tonumber(sequence), policies = {}, revocations = {}, allowlists = {} } }
    return ok(0)
end

function verbs.part(number, part, checksum, changes)
    if not load or load.number ~= number or tonumber(part) ~= load.parts + 1 then return refused("load") end
    local count = apply_all(load.tables, checksum, changes)
    if not count then return refused("malformed") end
    load.parts = load.parts + 1
    return ok(count)
end

function verbs.commit(number, parts, policies_checksum, revocations_checksum, allowlists_checksum)
    if not load or load.number ~= number or tonumber(parts) ~= load.parts then return refused("load") end
    local policies, policies_sum = table_status(load.tables.policies)
    local revocations, revocations_sum = table_status(load.tables.revocations)
    local allowlists, allowlists_sum = table_status(load.tables.allowlists)
    local as_announced = policies == load.expected[1] and revocations == load.expected[2] and allowlists == load.expected[3]
    if allowlists_sum ~= (allowlists_checksum or string.rep("0", 16)) then return refused("load") end
    if not as_announced or policies_sum ~= policies_checksum or revocations_sum ~= revocations_checksum then
        return refused("load")
    end
    state, load = load.tables, nil
    return ok(0)
end

core.register_cli({ "suiftly", "apply" }, "suiftly apply", function(applet, _, _, verb, ...)
    local run = verbs[verb]
    local answer = run and run(...) or refused("malformed")
    if fault == "cut" then fault = nil answer = answer:sub(1, 20) end
    applet:send(answer)
end)

core.register_cli({ "suiftly", "status" }, "suiftly status", function(applet)
    local policies, policies_sum = table_status(state.policies)
    local revocations, revocations_sum = table_status(state.revocations)
    local allowlists, allowlists_sum = table_status(state.allowlists)
    -- A module from before allowlists says nothing of them.
    local of_allowlists = old and "" or string.format('"allowlists":{"count":%d,"checksum":"%s","capacity":1000},', allowlists,
        allowlists_sum)
    applet:send(string.format('{"version":"stand-in","lua":"%s","ready":true,"instance":"%s","loaded_at_s":0,"stream":"%s",'
        .. '"sequence":%d,"policies":{"count":%d,"checksum":"%s","capacity":1000},"revocations":{"count":%d,'
        .. '"checksum":"%s","capacity":1000},%s"key_groups":[1],"accept_v0_groups":[],"admitted":0,"refused":{},"panics":0}\n',
        _VERSION, instance, state.stream, state.sequence, policies, policies_sum, revocations, revocations_sum, of_allowlists))
end)

core.register_cli({ "suiftly", "fault" }, "suiftly fault", function(applet, _, _, what)
    if what == "old" then
        -- As one of the version before: it does not understand changes of allowlists.
        old = true
        state.allowlists = {}
    elseif what == "forget" then
        state.revocations[next(state.revocations)] = nil
    else
        fault = what
    end
    applet:send("armed\n")
end)
