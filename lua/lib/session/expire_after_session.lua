-- Let a key, such as the ledger, live 31 days longer than its session, because few calls extend its life.
local function expire_after_session(session, key)
  local left_ms = redis.call('PTTL', session)
  if left_ms < 0 then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, string.format('%d', left_ms + 2678400000)) end
end
