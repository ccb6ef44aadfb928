-- Creates a session, or hands out the one that is there when asked to. One that lost its messages is replaced.
-- Returns {whether it was created, life}; the same life twice is the same creation, repeated. Life '' says: none is there.
-- Errors: EXISTS
--- include: rest counts mark clock expire
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the new incarnation
local get      = ARGV[2]           -- 'too': an existing session is an answer, not a refusal; 'only': none is created
local rules    = ARGV[3]           -- 'cap policy max_bytes'
local ttl      = ARGV[4]           -- idle life in ms, or 0
local lifetime = tonumber(ARGV[5]) -- whole life in ms, or 0
local fields   = rest(ARGV, 6)     -- name, value, … as lua/README.md lists them

local known = redis.call('HMGET', session, 'life', 'counts')
local count = known[1] and counts(known[2])
if count and redis.call('LLEN', messages) == count.last - count.dropped then
  if known[1] == life then
    mark(session, life)
    return {1, life}
  end
  if get ~= '' then return {0, known[1]} end
  return redis.error_reply('EXISTS ' .. known[1])
end
if get == 'only' then return {0, ''} end
if known[1] then redis.call('DEL', session) end
local now = clock()
local deadline = lifetime > 0 and string.format('%.0f', now + lifetime) or '-'
redis.call('HSET', session, 'life', life, 'status', 'active', 'counts', '0 0 0 0 0 0 0 0 0 0 ' .. now .. micros,
  'rules', rules .. ' ' .. ttl .. ' ' .. deadline, 'created', now .. micros, unpack(fields))
if redis.call('EXISTS', messages) == 1 then redis.call('DEL', messages) end
expire(session, messages, now, ttl, deadline)
return {1, life}
