-- Write a part of a session where its import stages it: fields, and messages behind those that are there. Sent again, it writes
-- the same.
-- Returns 1, or 0 when what was staged before is not there any more.
-- Index: none
--- include: tail rpush_chunked expire_session read_clock
local fields    = KEYS[1]           -- hash
local elements  = KEYS[2]           -- list
local ttl_ms    = tonumber(ARGV[1]) -- that it is kept
local staged    = tonumber(ARGV[2]) -- how many messages must be there before
local set_count = tonumber(ARGV[3]) -- how many of the following are fields
local parts     = tail(ARGV, 4)     -- name, value, … of those, then messages

local count, new = redis.call('LLEN', elements), tail(parts, set_count * 2 + 1)
if count ~= staged and count ~= staged + #new then return 0 end
for first = 1, set_count * 2, 1000 do
  redis.call('HSET', fields, unpack(parts, first, math.min(first + 999, set_count * 2)))
end
if count == staged then rpush_chunked(elements, new) end
expire_session(fields, elements, read_clock(), ttl_ms, nil)
return 1
