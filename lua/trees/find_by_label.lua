-- Find the session of a tree that has a label, or had it last.
-- Returns its record '<id> <parent number> <status> <on_parent_end> <incarnation> <reference>', or ''.
-- Errors: SESSION_NOT_FOUND
-- Index: none
--- include: check_incarnation
local session = KEYS[1] -- hash: the root
local label   = ARGV[1]

local found, number = unpack(redis.call('HMGET', session, 'incarnation', 'label.' .. label))
local refusal = check_incarnation(found, '')
if refusal then return refusal end
return number and redis.call('HGET', session, 'member.' .. number) or ''
