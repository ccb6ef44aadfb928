-- Read whether a session was cancelled, or asked to stop, by itself or with an ancestor.
-- Returns {incarnation, 'requested', 'cancelled' or '', reason}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED NEED_ANCESTORS
-- Index: none
--- include: check_incarnation check_ancestors read_cancel_state
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''

local found, lineage, status, reason = unpack(redis.call('HMGET', session, 'incarnation', 'lineage', 'status', 'reason'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local cancelled, is_incomplete = check_ancestors(ancestor_keys, lineage)
if is_incomplete then return cancelled end
return {found, read_cancel_state(ancestor_keys[#ancestor_keys - 1] or session, lineage, status, reason)}
