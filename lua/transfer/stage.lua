-- Writes a part of a session where its import stages it: fields, and messages behind those that are there. Sent again, it
-- writes the same.
-- Returns 1, or 0 when what was staged before is not there any more.
--- include: rest clock push expire
local fields   = KEYS[1]           -- hash
local elements = KEYS[2]           -- list
local ttl      = ARGV[1]           -- ms that it is kept
local at       = tonumber(ARGV[2]) -- how many messages are to be there before
local sets     = tonumber(ARGV[3]) -- how many of the following are fields
local parts    = rest(ARGV, 4)     -- name, value, … of those, then messages

local there, new = redis.call('LLEN', elements), rest(parts, sets * 2 + 1)
if there ~= at and there ~= at + #new then return 0 end
for first = 1, sets * 2, 1000 do
  redis.call('HSET', fields, unpack(parts, first, math.min(first + 999, sets * 2)))
end
if there == at then push(elements, new) end
expire(fields, elements, clock(), ttl, '-')
return 1
