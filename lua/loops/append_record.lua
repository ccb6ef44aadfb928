-- Add an event or a turn to a loop, numbered in order.
-- Returns {incarnation, '<rev> <number>'}; the same operation again returns its first result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST REVISION_CONFLICT
--   LOOP_NOT_FOUND BOUND_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: begin_write parse_loop append_line format_loop commit_write expire_after_session
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ledger        = KEYS[3]       -- hash: what the loops recorded
local ancestor_keys = {unpack(KEYS, 4)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local loop_id       = ARGV[5]
local kind          = ARGV[6]       -- event or turn
local value         = ARGV[7]       -- JSON
local max_records   = tonumber(ARGV[8])

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local field = 'loop.' .. loop_id
local text = redis.call('HGET', session, field)
if not text then return redis.error_reply('LOOP_NOT_FOUND ' .. loop_id) end
local loop = parse_loop(text)
local count = kind == 'event' and loop.events or loop.turns
if count >= max_records then return redis.error_reply(string.format('BOUND_EXCEEDED loop_records %d %d', count + 1, max_records)) end
append_line(ledger, kind .. '.' .. loop_id, count, string.format('%d %s', write.now_ms, value))
if kind == 'event' then loop.events = count + 1 else loop.turns = count + 1 end
redis.call('HSET', session, field, format_loop(loop))
reply = commit_write(session, messages, write, operation_id, string.format('%d', count + 1))
expire_after_session(session, ledger)
return reply
