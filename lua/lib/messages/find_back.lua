-- Visit the messages of the list from an index back, in pages, until `visit(message, index)` returns true. Return the index of
-- that message, or nil.
local function find_back(messages, index, visit)
  local size = 4
  while index >= 0 do
    local low = math.max(index - size + 1, 0)
    local page = redis.call('LRANGE', messages, low, index)
    for at = #page, 1, -1 do
      if visit(page[at], low + at - 1) then return low + at - 1 end
    end
    index, size = low - 1, math.min(size * 4, 64)
  end
end
