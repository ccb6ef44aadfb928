-- Change a loop's status: pending, running, then completed, rejected or aborted, which it stays. The same status again changes
-- nothing.
-- Returns {incarnation, '<rev>'}.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST REVISION_CONFLICT
--   LOOP_NOT_FOUND LOOP_CONFLICT INVALID_INPUT
-- Index: touches
--- include: begin_write parse_loop touch_for_wait format_loop commit_write expire_after_session
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ledger        = KEYS[3]       -- hash: what the loops recorded
local ancestor_keys = {unpack(KEYS, 4)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local loop_id       = ARGV[5]
local status        = ARGV[6]       -- the new status
local reason        = ARGV[7]       -- or ''

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local field = 'loop.' .. loop_id
local text = redis.call('HGET', session, field)
if not text then return redis.error_reply('LOOP_NOT_FOUND ' .. loop_id) end
local loop = parse_loop(text)
local before = loop.status
if before == status then
  touch_for_wait(session, write.incarnation)
  return {write.incarnation, string.format('%d', write.counters.rev)}
end
local is_open = before == 'pending' or before == 'running'
if not is_open or status == 'pending' or (before == 'pending' and status == 'completed') then
  return redis.error_reply(string.format('LOOP_CONFLICT %s %s %s', loop_id, before, status))
end
local now = string.format('%d', write.now_ms)
loop.status = status
if status == 'running' then loop.started = now else loop.finished = now end
redis.call('HSET', session, field, format_loop(loop))
if reason ~= '' then redis.call('HSET', ledger, 'reason.' .. loop_id, reason) end
reply = commit_write(session, messages, write, operation_id, '')
expire_after_session(session, ledger)
return reply
