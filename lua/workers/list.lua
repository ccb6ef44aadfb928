-- List workers that were heard in the last hour, those that are silent for longest before the others. A page may repeat a
-- worker that was heard again since, and misses none. A page ends early when its records exceed `max_bytes`.
-- Returns {the server's time in ms, {id, last heard in ms, …}, {record or '', …}}. The first list can be longer than the second:
-- the IDs without a record are not in the page.
-- Index: none
--- include: read_clock
local heard_at  = KEYS[1]           -- zset: worker IDs by the time at which they were heard last, in ms
local records   = KEYS[2]           -- hash: worker ID = its record (JSON)
local last      = ARGV[1]           -- the ID that was listed last, or ''
local last_ms   = ARGV[2]           -- and the time at which it was heard
local limit     = tonumber(ARGV[3]) -- how many at most
local max_bytes = tonumber(ARGV[4]) -- of their records

local now_ms = read_clock()
local start
if last ~= '' and redis.call('ZSCORE', heard_at, last) == last_ms then
  start = redis.call('ZRANK', heard_at, last) + 1
else
  start = redis.call('ZCOUNT', heard_at, '-inf', last == '' and string.format('(%d', now_ms - 3600000) or '(' .. last_ms)
end
local found = redis.call('ZRANGE', heard_at, start, start + limit - 1, 'WITHSCORES')
local listed, bytes = {}, 0
for at = 1, #found, 2 do
  local record = redis.call('HGET', records, found[at]) or ''
  bytes = bytes + #record
  if bytes > max_bytes and listed[1] then break end
  listed[#listed + 1] = record
end
return {string.format('%d', now_ms), found, listed}
