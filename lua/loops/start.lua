-- Start a loop in a session: a record of one agent run in it. An operation ID starts one.
-- Returns {incarnation, '<rev>'}.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST REVISION_CONFLICT
--   LOOP_CONFLICT BOUND_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: begin_write parse_loop format_loop commit_write expire_after_session
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ledger        = KEYS[3]       -- hash: what the loops recorded
local ancestor_keys = {unpack(KEYS, 4)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local loop_id       = ARGV[5]
local status        = ARGV[6]       -- pending or running
local config        = ARGV[7]       -- JSON: what it was started with
local metadata      = ARGV[8]       -- JSON
local max_loops     = tonumber(ARGV[9])

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
if write.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. write.status) end
local field = 'loop.' .. loop_id
local existing, loops = unpack(redis.call('HMGET', session, field, 'loops'))
if existing then
  return redis.error_reply(string.format('LOOP_CONFLICT %s %s %s', loop_id, parse_loop(existing).status, status))
end
local _, count = string.gsub(loops or '', '%S+', '')
if count >= max_loops then return redis.error_reply(string.format('BOUND_EXCEEDED loops %d %d', count + 1, max_loops)) end
if not loops then redis.call('UNLINK', ledger) end -- of a session that had the ID before
local now = string.format('%d', write.now_ms)
local loop = {
  status = status, created = now, started = status == 'running' and now or '-', finished = '-', events = 0, turns = 0, steps = 0,
  usage = '0 0 0 0 0 0 0',
}
redis.call('HSET', ledger, 'config.' .. loop_id, config, 'extra.' .. loop_id, metadata)
redis.call('HSET', session, field, format_loop(loop), 'loops', (loops and loops .. ' ' or '') .. loop_id, 'has_ledger', 1)
reply = commit_write(session, messages, write, operation_id, '')
expire_after_session(session, ledger)
return reply
