-- Guards of the sandbox. Arguments: the log, names of libraries that are not there, the steps that an event may take.
local log, absent, steps = ...
local dead = nil           -- why the script must not go on
local error, getmetatable, rawget, rawset, setmetatable, select, tostring, type = error, getmetatable, rawget, rawset, setmetatable, select, tostring, type
local concat = table.concat

-- A limit that was exceeded is no error that a script may catch.
local caught = pcall
local function guarded(call)
  local function finish(...)
    if dead then error(dead, 0) end
    return ...
  end
  return function(...) return finish(call(...)) end
end
pcall, xpcall = guarded(pcall), guarded(xpcall)

-- Finalizers run where no instruction is counted.
local plain = setmetatable
_G.setmetatable = function(table, metatable)
  if type(metatable) == "table" and rawget(metatable, "__gc") ~= nil then error("__gc is not available to scripts", 2) end
  return plain(table, metatable)
end

-- The metatable of strings is shared by everything: scripts do not get it.
getmetatable("").__metatable = false

for _, name in ipairs(absent) do
  local function refuse(_, key) error(name .. "." .. tostring(key) .. " is not available to scripts", 2) end
  rawset(_G, name, plain({}, { __index = refuse, __newindex = refuse, __metatable = false }))
end

function print(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
  log(concat(words, "\t"))
end

-- Called by a script that has taken all its steps.
return function()
  local ok, message = caught(error, "the script took more than " .. steps .. " steps for one event (script.max-steps)", 3)
  dead = dead or message
  error(dead, 0)
end
