-- Writes a child, whose fields are given: it lives no longer than its parent (whose rules are `above`), idle or not. It may
-- have counts already, but for the last two.
local function bear(child, listed, now, above, rules, ttl, lifetime, fields)
  local most, deadline = string.match(above, '(%d+) (%S+)$')
  if most + 0 > 0 and (ttl == 0 or ttl > most + 0) then ttl = most + 0 end
  if lifetime > 0 then deadline = string.format('%d', math.min(now + lifetime, tonumber(deadline) or math.huge)) end
  local counts = redis.call('HGET', child, 'counts') or '0 0 0 0 0 0 0 0 0'
  redis.call('HSET', child, 'status', 'active', 'rules', string.format('%s %d %s', rules, ttl, deadline),
    'created', now .. micros, 'counts', counts .. ' 0 ' .. now .. micros, unpack(fields))
  expire(child, listed, now, ttl, deadline)
end
