-- Lists sessions that are being written, or were when their writer died, if an index may have to list them.
-- Returns {{id, …}, {marks (id and writer) of those that died, sixteen at the most}}; an id may come twice.
--- include: clock
local facts = KEYS[1]           -- hash: id = what it is listed under, a line each
local marks = KEYS[2]           -- zset: id and writer by when, in microseconds
local text  = ARGV[1]           -- what the line has that is asked for; '' any
local grace = tonumber(ARGV[2]) -- ms after which a writer is dead
local most  = tonumber(ARGV[3]) -- how many at the most

local ids, may_move = {}, {}
for at, member in ipairs(redis.call('ZRANGE', marks, 0, most - 1)) do
  ids[at] = string.sub(member, 1, string.find(member, ' ', 1, true) - 1)
  may_move[at] = string.byte(member, -1) == 63 -- '?'
end
local found = text == '' and ids or {}
if text ~= '' then
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    for at, line in ipairs(redis.call('HMGET', facts, unpack(ids, first, last))) do
      at = first + at - 1
      if may_move[at] or not line or string.find(line, text, 1, true) then found[#found + 1] = ids[at] end
    end
  end
end
local dead = string.format('%.0f', (clock() - grace) * 1000)
return {found, redis.call('ZRANGEBYSCORE', marks, '-inf', dead, 'LIMIT', 0, 16)}
