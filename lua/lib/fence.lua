-- Whether a write may pass while `held` is granted ('fence nonce deadline owner', or false): the refusal, or nil.
-- `lease` is 'fence nonce' of the writer's own, '' for none, or '-' for an order, which needs none.
-- A lease that ran out stops nobody; what is to be stored, so that its holder does not go on, is the second answer.
local function fence(held, lease, now)
  if lease == '-' then return end
  local number, nonce, deadline, owner = string.match(held or '0 - 0 -', '^(%d+) (%S+) (%d+) (%S+)$')
  if lease ~= '' then
    if lease == number .. ' ' .. nonce then return end
    return redis.error_reply('LEASE_LOST ' .. number .. ' ' .. owner)
  end
  if nonce == '-' then return end
  local left = deadline - now
  if left > 0 then return redis.error_reply(string.format('LOCKED %s %s %d', owner, number, left)) end
  return nil, number .. ' - 0 -'
end
