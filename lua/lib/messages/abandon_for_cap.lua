-- Make room for the cap when the newest group is open and too long: abandon the calls whose messages must leave, because a call
-- that is never answered must not hold the cap. Only a message that is not a result has this effect. A group of more than twice
-- the cap is cut in any case, with the calls that were answered. Return how many calls were abandoned.
--- include: list_index message_kind regroup_messages
local function abandon_for_cap(messages, count, layout, dropped, max_messages)
  local excess, from = count + layout.kept - max_messages, list_index(layout.group, dropped, layout.gaps)
  local force, waiting = count - from > 2 * max_messages, {}
  if from >= excess or (not force and message_kind(redis.call('LINDEX', messages, -1)) == 't') then return 0 end
  local function leaves(seq) return list_index(seq, dropped, layout.gaps) < excess end
  for _, call in ipairs(layout.open) do
    if leaves(call[2]) then waiting[call[1]] = call[2] end
  end
  if not force and not next(waiting) then return 0 end
  return regroup_messages(messages, layout, dropped, math.max(from, 0), count - 1, function(hash, seq)
    return waiting[hash] == seq or force and leaves(seq)
  end)
end
