-- While the messages of a batch enter their groups, the open calls of a layout are found by hash, because there can be 1,024.
-- `layout.calls` holds them until drop_closed_calls. Return it.
local function index_calls(layout)
  if layout.calls then return layout.calls end
  local calls = {by_hash = {}, count = #layout.open, oldest = 1}
  layout.calls = calls
  for _, call in ipairs(layout.open) do calls.by_hash[call[1]] = call end
  return calls
end

local function close_call(calls, call)
  calls.by_hash[call[1]] = nil
  calls.count, call.is_closed = calls.count - 1, true
end

-- Forget all open calls. `layout.forgotten` counts them.
local function forget_calls(layout)
  --- include: index_calls
  layout.forgotten = (layout.forgotten or 0) + index_calls(layout).count
  layout.open, layout.calls, layout.binds_next = {}, nil, false
end

-- Open a call. When 1,024 calls are open, the oldest is forgotten.
local function open_call(layout, calls, hash, seq)
  local call = {hash, seq}
  layout.open[#layout.open + 1], calls.by_hash[hash], calls.count = call, call, calls.count + 1
  if calls.near then
    --- include: add_near
    add_near(calls, call)
  end
  while calls.count > 1024 do
    --- include: close_call
    local oldest = layout.open[calls.oldest]
    if not oldest.is_closed then close_call(calls, oldest) end
    calls.oldest = calls.oldest + 1
  end
end

-- Let nearest_call find a call, by the first six digits of the hash.
local function add_near(calls, call)
  local area = string.sub(call[1], 1, 6)
  calls.near[area] = calls.near[area] or {}
  calls.near[area][#calls.near[area] + 1] = call
end

-- Return the open call whose hash is the same or the next above it, less than 256 ahead; or nil. A result of Gemini without an ID
-- answers the first open call of its function, as call_hash numbers them.
local function nearest_call(layout, calls, hash)
  if calls.count == 0 then return end
  if not calls.near then
    --- include: add_near
    calls.near = {}
    for _, call in ipairs(layout.open) do add_near(calls, call) end
  end
  local number, nearest, found = tonumber(hash, 16), 256, nil
  for _, area in ipairs({string.sub(hash, 1, 6), string.format('%06x', math.floor(number / 256 + 1) % 16777216)}) do
    for _, call in ipairs(calls.near[area] or {}) do
      local ahead = (tonumber(call[1], 16) - number) % 4294967296
      if ahead < nearest and not call.is_closed then nearest, found = ahead, call end
    end
  end
  return found
end

-- Leave the closed calls out of the layout, and end what index_calls began.
local function drop_closed_calls(layout)
  if not layout.calls then return end
  local open = {}
  for _, call in ipairs(layout.open) do
    if not call.is_closed then open[#open + 1] = call end
  end
  layout.open, layout.calls = open, nil
end
