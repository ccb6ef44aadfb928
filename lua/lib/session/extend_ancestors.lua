-- Extend the lives of a child's ancestors, because a write in a child is a write in its tree.
--- include: extend_session
local function extend_ancestors(ancestor_keys, now_ms)
  for at = 1, #ancestor_keys, 2 do
    local settings = redis.call('HGET', ancestor_keys[at], 'settings')
    if settings then extend_session(ancestor_keys[at], ancestor_keys[at + 1], now_ms, settings) end
  end
end
