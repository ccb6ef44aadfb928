-- While the messages of a batch enter their groups, the open calls of a layout are found by hash, because there can be 1,024.
-- `layout.calls` holds them until drop_closed_calls. Return it. The first 8 digits of a hash are those of the call's ID, the next
-- 8, if there are any, those of its tool's name.
local function index_calls(layout)
  if layout.calls then return layout.calls end
  local calls = {by_hash = {}, count = #layout.open, oldest = 1}
  layout.calls = calls
  for _, call in ipairs(layout.open) do
    call.id = string.sub(call[1], 1, 8)
    calls.by_hash[call.id] = call
  end
  return calls
end

local function close_call(calls, call)
  calls.by_hash[call.id] = nil
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
  local call = {hash, seq, id = string.sub(hash, 1, 8)}
  layout.open[#layout.open + 1], calls.by_hash[call.id], calls.count = call, call, calls.count + 1
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

-- Let nearest_call find a call, by the number that its last hash is.
local function add_near(calls, call)
  local number = tonumber(string.sub(call[1], -8), 16)
  local same = calls.near[number] or {}
  calls.near[number], same[#same + 1] = same, call
end

-- Return the open call whose last hash is the same or the next above it, less than 256 ahead; or nil. A result of Gemini without
-- an ID answers the first open call of its function, as call_hash numbers them. A result with an ID answers a call without one.
local function nearest_call(layout, calls, hash)
  if calls.count == 0 then return end
  if not calls.near then
    --- include: add_near
    calls.near = {}
    for _, call in ipairs(layout.open) do add_near(calls, call) end
  end
  local name = string.sub(hash, -8)
  local number, has_id = tonumber(name, 16), string.sub(hash, 1, 8) ~= name
  for ahead = number, number + 255 do
    for _, call in ipairs(calls.near[ahead % 4294967296] or {}) do
      if not (call.is_closed or has_id and #call[1] > 8) then return call end
    end
  end
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
