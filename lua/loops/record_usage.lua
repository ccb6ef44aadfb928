-- Record the usage of one step of a loop, once for its step ID. The usage counts for the loop, for the session, and for the
-- spend of the session and of every ancestor.
-- Returns {incarnation, '<rev> <is_duplicate> <input> <output> <reasoning> <cache_read> <cache_write> <total> <cost>'}: the
-- sums of the loop.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST REVISION_CONFLICT
--   LOOP_NOT_FOUND BOUND_EXCEEDED LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: begin_write parse_loop touch_for_wait append_line add_numbers format_loop commit_write expire_after_session
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ledger        = KEYS[3]       -- hash: what the loops recorded
local ancestor_keys = {unpack(KEYS, 4)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local loop_id       = ARGV[5]
local step_id       = ARGV[6]
local usage         = ARGV[7]       -- '<input> <output> <reasoning> <cache_read> <cache_write> <total> <cost in millionths>'
local max_records   = tonumber(ARGV[8])

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local field, step_field = 'loop.' .. loop_id, 'step.' .. loop_id .. ' ' .. step_id
local text, session_usage = unpack(redis.call('HMGET', session, field, 'usage'))
if not text then return redis.error_reply('LOOP_NOT_FOUND ' .. loop_id) end
local loop = parse_loop(text)
if redis.call('HEXISTS', ledger, step_field) == 1 then
  touch_for_wait(session, write.incarnation)
  return {write.incarnation, string.format('%d 1 %s', write.counters.rev, loop.usage)}
end
if loop.steps >= max_records then
  return redis.error_reply(string.format('BOUND_EXCEEDED loop_records %d %d', loop.steps + 1, max_records))
end
local total_and_cost = string.match(usage, '%d+ %d+$')
loop.usage, loop.steps = add_numbers(loop.usage, usage), loop.steps + 1
session_usage = add_numbers(session_usage or '0 0 0 0 0 0 0', usage)
local payers, spent = {}, {} -- the session and its ancestors, as far as they exist, and what each has spent then
local function add_payer(hash)
  if redis.call('HEXISTS', hash, 'incarnation') == 0 then return end
  payers[#payers + 1] = hash
  spent[#payers] = add_numbers(redis.call('HGET', hash, 'spent') or '0 0', total_and_cost)
end
add_payer(session)
for at = 1, #ancestor_keys, 2 do add_payer(ancestor_keys[at]) end
for number in string.gmatch(loop.usage .. ' ' .. session_usage .. ' ' .. table.concat(spent, ' '), '%d+') do
  if tonumber(number) >= 5000000000000000 then return redis.error_reply('LIMIT_EXCEEDED usage ' .. number .. ' 4999999999999999 error') end
end
append_line(ledger, 'steps.' .. loop_id, loop.steps - 1, step_id)
redis.call('HSET', ledger, step_field, usage)
redis.call('HSET', session, field, format_loop(loop), 'usage', session_usage)
for at, payer in ipairs(payers) do redis.call('HSET', payer, 'spent', spent[at]) end
reply = commit_write(session, messages, write, operation_id, '0 ' .. loop.usage)
expire_after_session(session, ledger)
return reply
