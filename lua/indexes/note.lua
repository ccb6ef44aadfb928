-- Notes what the indexes hold of sessions, and when somebody is to look whether that is still so.
-- Returns others that it is time to look at, sixteen at the most: ids, and marks (id and writer).
--- include: rest clock keep
local due    = KEYS[1]           -- zset: ids by when to look, in ms
local facts  = KEYS[2]           -- hash: id = what it is listed under, a line each
local marks  = KEYS[3]           -- zset: id and writer by when, in microseconds
local life   = tonumber(ARGV[1]) -- ms for which all this is kept at least
local coming = tonumber(ARGV[2]) -- ms after which a session that was announced is there, or will not come, or has expired
local grace  = tonumber(ARGV[3]) -- ms after which a writer is dead
local notes  = rest(ARGV, 4)     -- id, when to look ('' it is announced, '-' never: it is gone), facts, the due time that was
                                 -- read, a writer whose mark is done with ('' none), if it is not later than, in microseconds

local now = clock()
local function unmark(member, seen)
  if (tonumber(redis.call('ZSCORE', marks, member)) or math.huge) <= seen + 0 then redis.call('ZREM', marks, member) end
end
for at = 1, #notes, 6 do
  local id, look, known, read, writer, seen = unpack(notes, at, at + 5)
  if look == '' then
    redis.call('ZADD', due, string.format('%d', now + coming), id)
    redis.call('ZADD', marks, now .. micros, id .. ' ' .. writer)
    keep(marks, life)
    local before = redis.call('HGET', facts, id)
    if before and before ~= known then known = before .. '\n' .. known end -- until it is known which of them holds
    redis.call('HSET', facts, id, known)
  elseif look ~= '-' then
    redis.call('ZADD', due, look, id)
    redis.call('HSET', facts, id, known)
  elseif (redis.call('ZSCORE', due, id) or '') == read then
    redis.call('ZREM', due, id)
    redis.call('HDEL', facts, id)
  end
  if look ~= '' and writer ~= '' then
    unmark(id .. ' ' .. writer, seen)
    unmark(id .. ' ' .. writer .. '?', seen)
  end
end
keep(due, life)
keep(facts, life)
local late = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 8)
local dead = string.format('%.0f', (now - grace) * 1000)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', marks, '-inf', dead, 'LIMIT', 0, 8)) do
  late[#late + 1] = member
end
return late
