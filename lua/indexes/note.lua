-- Notes what the indexes hold of sessions, and when somebody is to look whether that is still so.
-- Returns ids of others that it is time to look at, sixteen at the most.
--- include: rest clock keep
local due   = KEYS[1]           -- zset: ids by when to look, in ms
local facts = KEYS[2]           -- hash: id = what it is listed under, a line each
local marks = KEYS[3]           -- zset: ids that were being written, by when, in ms
local life  = tonumber(ARGV[1]) -- ms for which all this is kept at least
local grace = tonumber(ARGV[2]) -- ms after which a session that was announced is there, or will not come, or has expired
local notes = rest(ARGV, 3)     -- id, when to look ('' after the grace, '-' never: it is gone), facts, seen: the due time of
                                -- what is gone, or the mark that is done with; '' for none

local now = clock()
for at = 1, #notes, 4 do
  local id, look, known, seen = unpack(notes, at, at + 3)
  if look == '-' then
    if (redis.call('ZSCORE', due, id) or '') == seen then
      redis.call('ZREM', due, id)
      redis.call('HDEL', facts, id)
      redis.call('ZREM', marks, id)
    end
  elseif look == '' then
    redis.call('ZADD', due, string.format('%d', now + grace), id)
    local before = redis.call('HGET', facts, id)
    if before then -- one that is there already, or was
      if before ~= known then known = before .. '\n' .. known end -- until it is known which of them holds
      redis.call('ZADD', marks, now, id)
      keep(marks, life)
    end
    redis.call('HSET', facts, id, known)
  else
    redis.call('ZADD', due, look, id)
    redis.call('HSET', facts, id, known)
    if seen ~= '' and (tonumber(redis.call('ZSCORE', marks, id)) or math.huge) <= seen + 0 then redis.call('ZREM', marks, id) end
  end
end
keep(due, life)
keep(facts, life)
local late = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 8)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', marks, '-inf', string.format('%d', now - 20000), 'LIMIT', 0, 8)) do
  late[#late + 1] = id
end
return late
