-- Lists sessions that are being written, or were when their writer died, if an index may have to list them.
-- Returns {{id, …}, {marks, id and writer, of those that died, …}}.
--- include: clock
local facts = KEYS[1]           -- hash: id = what it is listed under, a line each
local marks = KEYS[2]           -- zset: id and writer by when, in microseconds
local text  = ARGV[1]           -- what the line has that is asked for; '' any
local grace = tonumber(ARGV[2]) -- ms after which a writer is dead
local most  = tonumber(ARGV[3]) -- how many at the most

local members = redis.call('ZRANGE', marks, 0, most - 1, 'WITHSCORES')
local dead = (clock() - grace) * 1000
local ids, late, places = {}, {}, {}
for at = 1, #members, 2 do
  local id, may_move = string.match(members[at], '^(%S+) %w+(%??)$')
  if members[at + 1] + 0 <= dead then late[#late + 1] = members[at] end
  if not places[id] then
    ids[#ids + 1] = id
    places[id] = text == '' and '?' or may_move
  elseif may_move == '?' then
    places[id] = '?'
  end
end
local found = {}
for first = 1, #ids, 1000 do
  local last = math.min(first + 999, #ids)
  local known = redis.call('HMGET', facts, unpack(ids, first, last))
  for at = first, last do
    local line = known[at - first + 1]
    if places[ids[at]] == '?' or not line or string.find(line, text, 1, true) then found[#found + 1] = ids[at] end
  end
end
return {found, late}
