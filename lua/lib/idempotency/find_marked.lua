-- Look in `recent` for an append that has this mark and, because marks can be the same, this batch ID. Return how many messages
-- are behind its message and the position of its mark; or nil.
local function find_marked(messages, recent, mark, batch)
  local at, word = string.find(recent, mark, 1, true), ' ' .. batch .. ' '
  while at do
    local _, others = string.gsub(string.sub(recent, at + 1), '%z', '')
    local behind = #recent - at - others
    local message = redis.call('LINDEX', messages, -behind - 1)
    local space = message and string.find(message, ' ', 11, true)
    if space and string.sub(message, space, space + #word - 1) == word then return behind, at end
    at = string.find(recent, mark, at + 1, true)
  end
end
