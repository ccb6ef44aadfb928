-- Remove the keys that a session leaves when it is gone: its ledger, its parts, its deltas and its popped messages.
-- Returns how many keys there were.
-- Index: none
local session    = KEYS[1] -- hash
local ledger     = KEYS[2] -- hash: what the loops of the session recorded
local parts      = KEYS[3] -- hash: parts with their messages
local part_names = KEYS[4] -- zset: names of the parts
local deltas     = KEYS[5] -- list
local popped     = KEYS[6] -- list

return redis.call('EXISTS', session) == 0 and redis.call('UNLINK', ledger, parts, part_names, deltas, popped) or 0
