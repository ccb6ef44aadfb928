-- Refuse more writes of shared scopes than may wait in a session. `outbox` has the revisions of those that wait.
local function check_outbox(outbox, max_outbox)
  local _, waiting = string.gsub(outbox or '', '%d+', '')
  if waiting >= max_outbox then return redis.error_reply(string.format('BOUND_EXCEEDED outbox_writes %d %d', waiting + 1, max_outbox)) end
end

-- Keep writes of shared scopes in a session until they are applied. Return the revisions of those that waited before.
local function add_to_outbox(session, before, rev, writes)
  redis.call('HSET', session, 'outbox', before .. rev .. ' ', 'outbox.' .. rev, writes)
  return before
end
