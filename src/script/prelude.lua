-- The prelude of a process function. Behind this part stands what is generated for its columns and states (prelude.rs).
-- `rt`: the functions and names that Rust gives.
local rt, NULL = ...
local _G, error, tostring, type, next, math_type, rawset, setmetatable = _G, error, tostring, type, next, math.type, rawset, setmetatable
local frame = rt.frame
local budget, steps = rt.budget, rt.steps
local row = 0              -- the row of the batch
local slot = 0             -- the key of this call: its number within the batch
local times = nil          -- of a timer: its timestamp
local domain = nil         -- of a timer: its time domain
local input = 1
local user_process, user_timer

-- The value as its type wants it, or an error at the script's line.
local function coerce(kind, value, what, level)
  local result, wrong = rt.coerce(kind, value)
  if wrong then error(what .. wrong, level + 1) end
  return result
end

-- The event is one table an input: each row overwrites the fields of the last one. A field that is nil may be NULL, or no column.
local function new_event(at)
  return setmetatable({}, {
    __index = function(_, name)
      if not rt.columns[at][name] then error(rt.no_column(at, tostring(name)), 2) end
    end,
    __metatable = false,
  })
end

local ctx = {}

local function keyed(what, level)
  if slot == 0 then error(what .. " needs key-by on the transform", level + 1) end
end

local function timer(register, event_time, timestamp, what)
  keyed(what, 3)
  if math_type(timestamp) ~= "integer" then
    timestamp = coerce(rt.bigint, timestamp, what, 3)
    if timestamp == nil then error(what .. ": a timestamp in milliseconds expected, got nil", 3) end
  end
  local wrong = rt.timer(register, event_time, slot, timestamp)
  if wrong then error(wrong, 3) end
end

function ctx.register_event_time_timer(_, timestamp) timer(true, true, timestamp, "register_event_time_timer") end
function ctx.delete_event_time_timer(_, timestamp) timer(false, true, timestamp, "delete_event_time_timer") end
function ctx.register_processing_time_timer(_, timestamp) timer(true, false, timestamp, "register_processing_time_timer") end
function ctx.delete_processing_time_timer(_, timestamp) timer(false, false, timestamp, "delete_processing_time_timer") end
function ctx.current_watermark() return frame.watermark end
function ctx.current_processing_time() return frame.now end
function ctx.time_domain() return domain end
function ctx.input() return rt.inputs[input] end

function ctx.timestamp()
  if times then return times end
  return rt.timestamp(row)
end

function ctx.current_key()
  keyed("current_key", 2)
  return rt.key(slot)
end

setmetatable(ctx, {
  __index = function(_, name) error(rt.no_method("ctx", tostring(name)), 2) end,
  __newindex = function() error("ctx cannot be changed", 2) end,
  __metatable = false,
})

-- The fields of an emitted row against the columns of its output: looked at where a column is missing, and once a batch.
local function check_fields(given, columns, port, level)
  if type(given) ~= "table" then error("emit takes a table with the row's columns, got " .. type(given), level + 1) end
  for name in next, given do
    if not columns[name] then error(rt.no_output_column(port, tostring(name)), level + 1) end
  end
end

local drains, starts = {}, {}
-- States that process has read: their values are handed over with the batch from then on.
local asked = {}
local handles = {}

local function method_missing(name)
  return function(_, method) error(rt.no_method("state." .. name, tostring(method)), 2) end
end

local function handle(name, methods)
  handles[name] = setmetatable(methods, { __index = method_missing(name), __newindex = method_missing(name), __metatable = false })
end

state = setmetatable({}, {
  __index = function(_, name)
    local found = handles[name]
    if found == nil then error(rt.no_state(tostring(name)), 2) end
    return found
  end,
  __newindex = function() error("state cannot be changed: declare states in the job file", 2) end,
  __metatable = false,
})

-- Each state's handle lies in the table itself once it is there: no metamethod on the way.
local function publish()
  for name, methods in next, handles do rawset(state, name, methods) end
end

-- Value state of a type that is copied as a whole (ARRAY, MAP, ROW): straight to the backend, so that nothing is shared.
local function value_state(index, name)
  local S = {}
  local what = "state." .. name
  function S.value() return rt.get(index, slot) end
  function S.update(_, value)
    local wrong = rt.set(index, slot, value)
    if wrong then error(what .. wrong, 2) end
  end
  function S.clear() rt.clear(index, slot) end
  handle(name, S)
end

local function list_state(index, name)
  local S = {}
  local what = "state." .. name
  function S.get() return rt.list(index, slot) end
  function S.add(_, value)
    local wrong = rt.list_add(index, slot, value)
    if wrong then error(what .. wrong, 2) end
  end
  function S.add_all(_, values)
    if type(values) ~= "table" then error(what .. ":add_all takes a list, got " .. type(values), 2) end
    local wrong = rt.list_add_all(index, slot, values)
    if wrong then error(what .. wrong, 2) end
  end
  function S.update(_, values)
    if type(values) ~= "table" then error(what .. ":update takes a list, got " .. type(values), 2) end
    local wrong = rt.list_set(index, slot, values)
    if wrong then error(what .. wrong, 2) end
  end
  function S.clear() rt.clear(index, slot) end
  handle(name, S)
end

local function map_state(index, name)
  local S = {}
  local what = "state." .. name
  function S.get(_, key)
    local value, wrong = rt.map_get(index, slot, key)
    if wrong then error(what .. wrong, 2) end
    return value
  end
  function S.put(_, key, value)
    local wrong = rt.map_put(index, slot, key, value)
    if wrong then error(what .. wrong, 2) end
  end
  function S.remove(_, key)
    local wrong = rt.map_remove(index, slot, key)
    if wrong then error(what .. wrong, 2) end
  end
  function S.contains(_, key)
    local found, wrong = rt.map_contains(index, slot, key)
    if wrong then error(what .. wrong, 2) end
    return found
  end
  function S.is_empty() return rt.map_is_empty(index, slot) end
  function S.entries()
    local keys, values = rt.map_entries(index, slot)
    local at = 0
    return function()
      at = at + 1
      local value = values[at]
      if value == NULL then value = nil end
      return keys[at], value
    end
  end
  function S.keys()
    local keys = rt.map_entries(index, slot)
    local at = 0
    return function()
      at = at + 1
      return keys[at]
    end
  end
  function S.clear() rt.clear(index, slot) end
  handle(name, S)
end

-- A built-in fold, done by the backend.
local function built_in_fold(index, name)
  local S = {}
  local what = "state." .. name
  function S.add(_, value)
    local wrong = rt.fold_add(index, slot, value)
    if wrong then error(what .. wrong, 2) end
  end
  function S.get() return rt.fold_get(index, slot) end
  function S.clear() rt.clear(index, slot) end
  handle(name, S)
end

-- A reducing state whose function is the script's.
local function lua_reduce(index, name, global)
  local S = {}
  local what = "state." .. name
  function S.add(_, value)
    local old = rt.get(index, slot)
    if old ~= nil then value = _G[global](old, value) end
    local wrong = rt.set(index, slot, value)
    if wrong then error(what .. wrong, 2) end
  end
  function S.get() return rt.get(index, slot) end
  function S.clear() rt.clear(index, slot) end
  handle(name, S)
end

-- An aggregating state whose functions are the script's: a table with create, add, result.
local function lua_aggregate(index, name, global)
  local S = {}
  local what = "state." .. name
  function S.add(_, value)
    local functions = _G[global]
    local accumulator = rt.get(index, slot)
    if accumulator == nil then accumulator = functions.create() end
    local wrong = rt.set(index, slot, functions.add(accumulator, value))
    if wrong then error(what .. wrong, 2) end
  end
  function S.get()
    local accumulator = rt.get(index, slot)
    if accumulator == nil then return nil end
    return _G[global].result(accumulator)
  end
  function S.clear() rt.clear(index, slot) end
  handle(name, S)
end

local runs, takes, named_outputs = {}, {}, {}

local function emit_named(name, row)
  local put = named_outputs[name]
  if put == nil then error(rt.no_output(tostring(name)), 3) end
  put(row)
end
