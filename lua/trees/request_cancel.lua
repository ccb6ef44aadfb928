-- Ask a session, and all sessions below it, to stop.
-- Returns the incarnation.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED NEED_ANCESTORS
-- Index: none
--- include: check_incarnation check_ancestor_keys parse_lineage mark_member
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local reason        = ARGV[2]       -- or ''

local found, lineage = unpack(redis.call('HMGET', session, 'incarnation', 'lineage'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
refusal = check_ancestor_keys(ancestor_keys, lineage)
if refusal then return refusal end
mark_member(ancestor_keys[#ancestor_keys - 1] or session, 'requested', parse_lineage(lineage).number, reason)
return found
