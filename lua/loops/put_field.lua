-- Replace a loop's metadata, or the record of its parallel group.
-- Returns {incarnation, '<rev>'}; the same operation again returns its first result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST REVISION_CONFLICT
--   LOOP_NOT_FOUND INVALID_INPUT
-- Index: touches
--- include: begin_write commit_write expire_after_session
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ledger        = KEYS[3]       -- hash: what the loops recorded
local ancestor_keys = {unpack(KEYS, 4)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local loop_id       = ARGV[5]
local prefix        = ARGV[6]       -- extra or group
local value         = ARGV[7]       -- JSON

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
if redis.call('HEXISTS', session, 'loop.' .. loop_id) == 0 then return redis.error_reply('LOOP_NOT_FOUND ' .. loop_id) end
redis.call('HSET', ledger, prefix .. '.' .. loop_id, value)
reply = commit_write(session, messages, write, operation_id, '')
expire_after_session(session, ledger)
return reply
