-- Write a part of a session where its import stages it: fields or messages, behind those that are there. Sent again, it writes
-- the same.
-- Returns 1, or 0 when what was staged before is not there any more.
-- Index: none
--- include: tail rpush_chunked expire_session read_clock
local fields    = KEYS[1]           -- hash
local elements  = KEYS[2]           -- list
local ttl_ms    = tonumber(ARGV[1]) -- that it is kept
local staged    = tonumber(ARGV[2]) -- how many fields or messages must be there before
local set_count = tonumber(ARGV[3]) -- how many fields follow: name, value, …; 0 for messages
local parts     = tail(ARGV, 4)     -- the fields, or the messages

local count = redis.call(set_count > 0 and 'HLEN' or 'LLEN', set_count > 0 and fields or elements)
if count ~= staged and count ~= staged + (set_count > 0 and set_count or #parts) then return 0 end
for first = 1, set_count * 2, 1000 do
  redis.call('HSET', fields, unpack(parts, first, math.min(first + 999, set_count * 2)))
end
if set_count == 0 and count == staged then rpush_chunked(elements, parts) end
expire_session(fields, elements, read_clock(), ttl_ms, nil)
return 1
