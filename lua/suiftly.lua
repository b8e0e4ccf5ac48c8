-- Loads the Suiftly module that was built for this HAProxy's Lua; everything else is in the module.
-- An error here ends HAProxy's start: without the module no request can be judged.
local folder = assert(os.getenv("SUIFTLY_MODULES"), "SUIFTLY_MODULES is not set; haproxy.cfg sets its default")
local version = _VERSION:match("^Lua (5%.[34])$")
    or error("this HAProxy has " .. _VERSION .. "; the Suiftly module is built for Lua 5.3 and 5.4")
-- A full path and a named entry: `require` would search the working directory first and find this very file.
local path = folder .. "/libsuiftly-lua" .. version .. ".so"
local open, reason = package.loadlib(path, "luaopen_suiftly")
if not open then error("the Suiftly module cannot be loaded: " .. reason) end
-- The module's errors are objects; HAProxy prints only text, and the first line has file, line and reason.
local loaded, problem = pcall(open)
if not loaded then error(tostring(problem):match("[^\n]*"), 0) end
