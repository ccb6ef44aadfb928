-- Ask a session, and all sessions below it, to stop.
-- Returns {incarnation, 'requested' or 'cancelled', reason}: the state after the request.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED NEED_ANCESTORS
-- Index: none
--- include: check_incarnation check_ancestors parse_lineage mark_member read_cancel_state
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local reason        = ARGV[2]       -- or ''

local found, lineage, status, ended_why = unpack(redis.call('HMGET', session, 'incarnation', 'lineage', 'status', 'reason'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local cancelled, is_incomplete = check_ancestors(ancestor_keys, lineage)
if is_incomplete then return cancelled end
local root = ancestor_keys[#ancestor_keys - 1] or session
mark_member(root, 'requested', parse_lineage(lineage).number, reason)
return {found, read_cancel_state(root, lineage, status, ended_why)}
