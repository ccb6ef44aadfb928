-- Remove the ledger of a session that is gone.
-- Returns 1 if there was one, else 0.
-- Index: none
local session = KEYS[1] -- hash
local ledger  = KEYS[2] -- hash: what the loops of the session recorded

return redis.call('EXISTS', session) == 0 and redis.call('UNLINK', ledger) or 0
