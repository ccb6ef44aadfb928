-- Write a part of a session where its import stages it: fields or messages, behind those that are there. Sent again, it writes
-- the same.
-- Returns 1, or 0 when what was staged before is not there any more.
-- Index: none
--- include: tail rpush_chunked expire_session read_clock
local fields    = KEYS[1]           -- hash
local elements  = KEYS[2]           -- list, or zset
local ttl_ms    = tonumber(ARGV[1]) -- that it is kept
local staged    = tonumber(ARGV[2]) -- how many fields or messages must be there before
local set_count = tonumber(ARGV[3]) -- how many fields follow: name, value, …; 0 for messages
local is_set    = ARGV[4] == '1'    -- whether the elements are members of a zset, not messages
local parts     = tail(ARGV, 5)     -- the fields, or the elements

local count = redis.call(set_count > 0 and 'HLEN' or is_set and 'ZCARD' or 'LLEN', set_count > 0 and fields or elements)
if count ~= staged and count ~= staged + (set_count > 0 and set_count or #parts) then return 0 end
for first = 1, set_count * 2, 1000 do
  redis.call('HSET', fields, unpack(parts, first, math.min(first + 999, set_count * 2)))
end
for at = 1, is_set and #parts or 0 do redis.call('ZADD', elements, 0, parts[at]) end
if set_count == 0 and not is_set and count == staged then rpush_chunked(elements, parts) end
expire_session(fields, elements, read_clock(), ttl_ms, nil)
return 1
