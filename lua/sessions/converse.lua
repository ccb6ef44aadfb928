-- Hands out the session that a channel talks in, or forms the next one when that has ended, is gone, or was idle for too long.
-- Who was quicker decides: a caller who knows another current one is told, and asks again.
-- Returns {'current' or 'formed', life}, {'other', the current one's id}, or {'idle', its id} when the next one is to be formed.
--- include: rest clock counts expire
local channel  = KEYS[1]           -- string: the id of its session
local current  = KEYS[2]           -- hash: the one the caller knows; the next one, if he knows none
local session  = KEYS[3]           -- hash: the next one
local messages = KEYS[4]           -- list
local known_id = ARGV[1]           -- the id of the one he knows, or ''
local id       = ARGV[2]           -- of the next one
local form     = ARGV[3]           -- '1': if need be; else that is only told
local life     = ARGV[4]           -- the next one's incarnation
local idle     = ARGV[5]           -- ms after which the current one is over
local rules    = ARGV[6]           -- 'cap policy max_bytes'
local ttl      = ARGV[7]           -- idle life in ms, or 0
local lifetime = tonumber(ARGV[8]) -- whole life in ms, or 0
local keep     = tonumber(ARGV[9]) -- ms to remember which one is current
local fields   = rest(ARGV, 10)    -- name, value, … as lua/README.md lists them

local there = redis.call('GET', channel) or ''
if there ~= known_id then return {'other', there} end
local now, last = clock(), there ~= '' and redis.call('HMGET', current, 'life', 'status', 'counts') or {}
redis.call('SET', channel, there ~= '' and there or id, 'PX', keep)
if last[1] and (last[2] == 'active' or last[2] == 'paused') and now - counts(last[3]).updated / 1000 <= idle + 0 then
  return {'current', last[1]}
end
if form ~= '1' then return {'idle', there} end
local deadline = lifetime > 0 and string.format('%.0f', now + lifetime) or '-'
redis.call('HSET', session, 'life', life, 'status', 'active', 'counts', '0 0 0 0 0 0 0 0 0 0 ' .. now .. micros,
  'rules', rules .. ' ' .. ttl .. ' ' .. deadline, 'created', now .. micros, unpack(fields))
redis.call('HSET', session, 'formation', string.format('inactivity %s %s', idle, there ~= '' and there or '-'))
expire(session, messages, now, ttl, deadline)
redis.call('SET', channel, id, 'PX', keep)
return {'formed', life}
