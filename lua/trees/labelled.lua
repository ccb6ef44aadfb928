-- Finds the session of a tree that has a label: the last one it was given to.
-- Returns its record, '<id> <parent> <status> <policy> <life> <reference>', or ''.
-- Errors: NOT_FOUND
--- include: identify
local session = KEYS[1] -- hash: the root
local label   = ARGV[1]

local known = redis.call('HMGET', session, 'life', 'label.' .. label)
local refusal = identify(known[1], '')
if refusal then return refusal end
return known[2] and redis.call('HGET', session, 'member.' .. known[2]) or ''
