-- While the messages of a batch enter their groups, the open calls of a layout are found by hash, and by what its first six digits say,
-- because there can be 1,024. `layout.calls` holds them until settle_calls. Return it.
local function index_calls(layout)
  if layout.calls then return layout.calls end
  local calls = {by_hash = {}, near = {}, count = 0, oldest = 1}
  layout.calls = calls
  for _, call in ipairs(layout.open) do
    local area = string.sub(call[1], 1, 6)
    calls.near[area] = calls.near[area] or {}
    calls.by_hash[call[1]], calls.near[area][call[1]], calls.count = call, call, calls.count + 1
  end
  return calls
end

local function close_call(calls, call)
  calls.by_hash[call[1]], calls.near[string.sub(call[1], 1, 6)][call[1]] = nil, nil
  calls.count, call.is_closed = calls.count - 1, true
end

-- Open a call. When 1,024 calls are open, the oldest is forgotten.
local function open_call(layout, calls, hash, seq)
  --- include: close_call
  local call, area = {hash, seq}, string.sub(hash, 1, 6)
  calls.near[area] = calls.near[area] or {}
  layout.open[#layout.open + 1], calls.by_hash[hash], calls.near[area][hash], calls.count = call, call, call, calls.count + 1
  while calls.count > 1024 do
    local oldest = layout.open[calls.oldest]
    if not oldest.is_closed then close_call(calls, oldest) end
    calls.oldest = calls.oldest + 1
  end
end

-- Return the open call whose hash is the same or the next above it, less than 256 ahead; or nil. A result of Gemini without an ID
-- answers the first open call of its function, as call_hash numbers them.
local function nearest_call(calls, hash)
  local number, nearest, found = tonumber(hash, 16), 256, nil
  for _, area in ipairs({string.sub(hash, 1, 6), string.format('%06x', math.floor(number / 256 + 1) % 16777216)}) do
    for _, call in pairs(calls.near[area] or {}) do
      local ahead = (tonumber(call[1], 16) - number) % 4294967296
      if ahead < nearest then nearest, found = ahead, call end
    end
  end
  return found
end

-- Make the list of open calls plain again.
local function settle_calls(layout)
  if not layout.calls then return end
  local open = {}
  for _, call in ipairs(layout.open) do
    if not call.is_closed then open[#open + 1] = call end
  end
  layout.open, layout.calls = open, nil
end
