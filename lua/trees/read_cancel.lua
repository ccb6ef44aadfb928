-- Read whether a session was cancelled, or asked to stop, by itself or with an ancestor.
-- Returns {incarnation, 'requested', 'cancelled' or ''}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED NEED_ANCESTORS
-- Index: none
--- include: check_incarnation check_ancestor_keys parse_lineage has_mark
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''

local found, lineage, status = unpack(redis.call('HMGET', session, 'incarnation', 'lineage', 'status'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
refusal = check_ancestor_keys(ancestor_keys, lineage)
if refusal then return refusal end
local root, path = ancestor_keys[#ancestor_keys - 1] or session, parse_lineage(lineage).path
local cancelled, requested = unpack(redis.call('HMGET', root, 'cancelled', 'requested'))
if status == 'cancelled' or has_mark(root, cancelled, path) then return {found, 'cancelled'} end
return {found, has_mark(root, requested, path) and 'requested' or ''}
