-- Extend a session's life. Never shorten it, never pass its deadline, and change nothing else. A child's ancestors live as long
-- as it does.
-- Returns {incarnation, ms left, or -1 for a persistent session}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED NEED_ANCESTORS
-- Index: may_end
--- include: check_incarnation check_ancestor_keys parse_settings read_clock extend_session
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local ttl_ms        = ARGV[2]       -- from now, or '' for the session's own idle ttl

local found, settings, lineage = unpack(redis.call('HMGET', session, 'incarnation', 'settings', 'lineage'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
refusal = check_ancestor_keys(ancestor_keys, lineage)
if refusal then return refusal end
local wanted_ms = ttl_ms == '' and parse_settings(settings).ttl_ms or ttl_ms + 0
local now_ms = read_clock()
local function extend(hash, list, its_settings)
  local left_ms = redis.call('PTTL', hash)
  if left_ms >= 0 and wanted_ms > left_ms then extend_session(hash, list, now_ms, its_settings, wanted_ms) end
end
extend(session, messages, settings)
for at = 1, #ancestor_keys, 2 do
  local its_settings = redis.call('HGET', ancestor_keys[at], 'settings')
  if its_settings then extend(ancestor_keys[at], ancestor_keys[at + 1], its_settings) end
end
return {found, redis.call('PTTL', session)}
