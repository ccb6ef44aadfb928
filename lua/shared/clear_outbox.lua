-- Remove writes of shared scopes that were applied from a session. The first command is one that a full server refuses, so that a
-- server which refused the writes does not remove them.
-- Returns how many were removed.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: tail check_incarnation touch_for_wait
local session     = KEYS[1]       -- hash
local incarnation = ARGV[1]       -- the incarnation the caller knows, or ''
local applied     = tail(ARGV, 2) -- revisions

local found, outbox = unpack(redis.call('HMGET', session, 'incarnation', 'outbox'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
touch_for_wait(session, found)
local left, removed = ' ' .. (outbox or ''), 0
for _, rev in ipairs(applied) do
  removed = removed + redis.call('HDEL', session, 'outbox.' .. rev)
  left = string.gsub(left, ' ' .. rev .. ' ', ' ', 1)
end
left = string.sub(left, 2)
if left == '' then redis.call('HDEL', session, 'outbox') else redis.call('HSET', session, 'outbox', left) end
return removed
