-- List dirty sessions that an index may have to list.
-- Returns {{id, …}, {dirty marks of writers that died, 16 at most}}; an ID may come twice.
-- Index: none
--- include: read_clock
local records  = KEYS[1]           -- hash: ID = the values it is listed under, a line each
local dirty    = KEYS[2]           -- zset: dirty marks by their time, in microseconds
local text     = ARGV[1]           -- text that the record must contain; '' for any record
local grace_ms = tonumber(ARGV[2]) -- after which a writer is taken for dead
local limit    = tonumber(ARGV[3]) -- how many at most

local ids, may_move = {}, {}
for at, mark in ipairs(redis.call('ZRANGE', dirty, 0, limit - 1)) do
  ids[at] = string.sub(mark, 1, string.find(mark, ' ', 1, true) - 1)
  may_move[at] = string.byte(mark, -1) == 63 -- '?'
end
local found = text == '' and ids or {}
if text ~= '' then
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    for offset, record in ipairs(redis.call('HMGET', records, unpack(ids, first, last))) do
      local at = first + offset - 1
      if may_move[at] or not record or string.find(record, text, 1, true) then found[#found + 1] = ids[at] end
    end
  end
end
local abandoned = string.format('%.0f', (read_clock() - grace_ms) * 1000)
return {found, redis.call('ZRANGEBYSCORE', dirty, '-inf', abandoned, 'LIMIT', 0, 16)}
