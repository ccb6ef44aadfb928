-- Writes a status, and notes that it changed: those who watch are told. A final one gets its time and reason.
local function finish(session, now, status, reason)
  local known = redis.call('HMGET', session, 'counts', 'changes', 'readers')
  local before = known[2] or ''
  local number = string.format('%d', (string.match(before, '(%d+) %d+ %d+ %S+\n$') or 0) + 1)
  local change = string.format('%s %s %s %s', number, string.match(known[1], '^%d+ (%d+)'), now, status)
  if #before > 1000 then before = string.match(string.sub(before, -1000), '\n(.*)$') end
  redis.call('HSET', session, 'status', status, 'changes', before .. change .. '\n')
  if known[3] then
    --- include: tell rouse
    rouse(session, known[3], now, 'status', change)
  end
  if status == 'active' or status == 'paused' then return end
  redis.call('HSET', session, 'finished', now)
  if reason ~= '' then redis.call('HSET', session, 'reason', reason) end
end
