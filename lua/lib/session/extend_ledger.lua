-- Let the ledger live 31 days longer than its session, because only calls on loops and the upkeep of the indexes extend its life.
local function extend_ledger(session, ledger)
  local left_ms = redis.call('PTTL', session)
  if left_ms < 0 then redis.call('PERSIST', ledger) else redis.call('PEXPIRE', ledger, string.format('%d', left_ms + 2678400000)) end
end
