-- Renew a lease for its whole ttl, and tell the waiters how long that is. A lease that ran out is renewed if no other caller
-- took it. The lease of a session that has ended is not renewed. The session lives at least as long as the lease.
-- Returns {incarnation, ms that it lasts, the session's idle ttl in ms or 0}.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE LEASE_LOST
-- Index: none
--- include: check_incarnation read_clock check_ancestors check_lease parse_lease format_lease
--- include: parse_settings extend_held_session extend_ancestors notify_waiters
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = {unpack(KEYS, 3)}     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local lease         = ARGV[2]           -- '<fence> <nonce>'
local ttl_ms        = tonumber(ARGV[3])

local found, status, settings, held, waiters, lineage =
  unpack(redis.call('HMGET', session, 'incarnation', 'status', 'settings', 'lease', 'lease_waiters', 'lineage'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local now_ms = read_clock()
refusal = check_lease(held, lease, now_ms) or check_ancestors(ancestor_keys, lineage)
if not refusal and status ~= 'active' and status ~= 'paused' then
  refusal = redis.error_reply('SESSION_NOT_ACTIVE ' .. status)
end
if refusal then return refusal end
local holder = parse_lease(held)
holder.deadline_ms = now_ms + ttl_ms
redis.call('HSET', session, 'lease', format_lease(holder))
local session_ttl_ms = extend_held_session(session, messages, now_ms, parse_settings(settings), ttl_ms)
extend_ancestors(ancestor_keys, now_ms)
notify_waiters(waiters or '', 'held', string.format('%d %d', holder.fence, ttl_ms))
return {found, ttl_ms, session_ttl_ms}
