-- Ends a session as `report` has it, with all that follows: those below it, its place in its tree, its result to its parent.
-- A child that is not to be kept is deleted. Done again, it does what was left to do. Returns whether it was deleted.
local function conclude(session, messages, family, now, status, told)
  local known, number, root, entry, batch, reason, result = unpack(told, 1, 7)
  if not known[9] then
    finish(session, now, status, reason)
    if result ~= '' then redis.call('HSET', session, 'result', result) end
  end
  if known[7] and (status == 'cancelled' or not string.find(known[7], ' 0$')) then
    --- include: members part 
    part(root, number, status == 'cancelled', reason)
  end
  if known[12] then
    --- include: tell
    for nonce, counted, channel in string.gmatch(known[12], '(%S+) %d+ %d+ (%d) (%S+)\n') do
      tell(counted, channel, nonce, 'ask', 0, 0)
    end
  end
  if not entry then return end
  --- include: tell depart deliver
  depart(root, family[1], number, status, now)
  deliver(family, entry, batch, now)
  if known[8] == 'delete' then redis.call('DEL', session, messages) end
  return known[8] == 'delete'
end
