-- Claim a run: its lease, and one more attempt. A nonce is one claim.
-- Returns {incarnation, 'claimed', ms until the next check, fence, ms of the lease, attempt, max_attempts or '-', task or ''}, or
-- {incarnation or '', verdict, ms until the next check}: 'held' (another worker holds it, or it is paused) or 'finished' (it
-- ended, is gone, is out of time or has used up its attempts; the caller then calls runs/recover).
-- Errors: NEED_ANCESTORS INVALID_INPUT
-- Index: none
--- include: tail read_clock load_run is_finished_run grant_lease format_run extend_session extend_ancestors
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = tail(KEYS, 3)     -- session and messages of each ancestor, the parent's first
local nonce         = ARGV[1]           -- of the claim
local owner         = ARGV[2]           -- the name of the holder
local ttl_ms        = tonumber(ARGV[3]) -- that the lease lasts

if owner == '' or string.find(owner .. nonce, '%s') then
  return redis.error_reply('INVALID_INPUT owner must be a name without white space')
end
local now_ms = read_clock()
local loaded, refusal = load_run(session, ancestor_keys, now_ms)
if not loaded then return refusal end
local found, run, lease = loaded.incarnation, loaded.run, loaded.lease
if loaded.is_cancelled or is_finished_run(loaded) then return {found or '', 'finished', 0} end
local check_ms, fence = math.min(loaded.left_ms, ttl_ms), lease.fence
if lease.nonce ~= nonce then
  if not loaded.is_free or loaded.status == 'paused' then
    local wait_ms = loaded.status == 'active' and lease.deadline_ms - now_ms or 5000
    return {found, 'held', math.max(math.min(loaded.left_ms, wait_ms), 100)}
  end
  fence, run.attempts = fence + 1, run.attempts + 1
  grant_lease(session, fence, nonce, owner, now_ms, ttl_ms)
  redis.call('HSET', session, 'run', format_run(run))
  extend_session(session, messages, now_ms, loaded.settings)
  extend_ancestors(ancestor_keys, now_ms)
end
return {found, 'claimed', check_ms, fence, ttl_ms, run.attempts, run.max_attempts, loaded.task or ''}
