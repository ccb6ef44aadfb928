-- Copy the next part of a long transcript to where a new session is about to be made, whose script takes the copy if the session
-- still has the revision of the copy: the list, then the messages of the hash. A copy of another revision is begun again.
-- Returns {revision of the copy, how many messages are copied, how many there are}.
-- Errors: SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_EXISTS
-- Index: none
--- include: check_incarnation check_list parse_counters page_size rpush_chunked kept_seqs parse_layout
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local new_session = KEYS[3]           -- hash: must not exist
local copy        = KEYS[4]           -- list: where the copy waits
local kept_copy   = KEYS[5]           -- hash: where the copy of the messages of the hash waits
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local rev         = tonumber(ARGV[2]) -- of the copy, or 0
local copied      = tonumber(ARGV[3]) -- how many messages are copied, as the caller knows
local ttl_ms      = tonumber(ARGV[4]) -- that an unfinished copy is kept

local found, counters, layout = unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
refusal = check_list(messages, counters)
if refusal then return refusal end
local exists = redis.call('HGET', new_session, 'incarnation')
if exists then return redis.error_reply('SESSION_EXISTS ' .. exists) end
local seqs, length = kept_seqs(session, parse_layout(layout)), counters.last_seq - counters.dropped
local there = redis.call('LLEN', copy) + redis.call('HLEN', kept_copy)
if rev ~= counters.rev or there < copied then
  redis.call('UNLINK', copy, kept_copy)
  rev, there, copied = counters.rev, 0, 0
end
if there == copied then -- else the part was copied before, and the reply was lost
  local bytes, size, till = 0, page_size(counters), math.min(there + 2000, length)
  while there < till and bytes < 1000000 do
    local page = redis.call('LRANGE', messages, there, math.min(there + size, till) - 1)
    for _, message in ipairs(page) do bytes = bytes + #message end
    rpush_chunked(copy, page)
    there = there + #page
  end
  for at = there - length + 1, there >= length and #seqs or 0 do
    if bytes >= 1000000 then break end
    local message = redis.call('HGET', session, 'kept.' .. seqs[at])
    redis.call('HSET', kept_copy, 'kept.' .. seqs[at], message)
    bytes, there = bytes + #message, there + 1
  end
end
redis.call('PEXPIRE', copy, ttl_ms)
redis.call('PEXPIRE', kept_copy, ttl_ms)
return {rev, there, length + #seqs}
