-- Writes a child's end into its tree: its record, the counts of the active ones; wakes those who wait for it.
local function depart(root, parent, number, status, now)
  local field = 'member.' .. number
  local known = redis.call('HMGET', root, 'tree', field)
  local total, active = string.match(known[1], '(%d+) (%d+)')
  local head, tail = string.match(known[2], '^(%S+ %d+) %S+(.*)$')
  redis.call('HSET', root, 'tree', string.format('%s %d', total, active - 1), field, head .. ' ' .. status .. tail)
  local mine = redis.call('HMGET', parent, 'children', 'joiners')
  if not mine[1] then return end
  local spawned, left = string.match(mine[1], '(%d+) (%d+)')
  redis.call('HSET', parent, 'children', string.format('%s %d', spawned, left - 1))
  if mine[2] then
    for nonce, last, target, counted, channel in string.gmatch(mine[2], '(%S+) (%d+) (%d+) (%d) (%S+)\n') do
      if last - now > 0 and spawned - left + 1 >= target + 0 then tell(counted, channel, nonce, 'ask', 0, 0) end
    end
  end
end
