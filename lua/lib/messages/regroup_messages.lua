-- Work out the groups of a list again, from the start of a group at index `from` up to index `till`. Store what changed in the
-- list and in `layout`. A call for which `is_abandoned(hash, seq)` is true is marked as abandoned. Return how many there were.
-- `layout.user_seq` becomes the seq of the newest user message that starts a group.
--- include: list_seq begins_turn group_message drop_closed_calls
local function regroup_messages(messages, layout, dropped, from, till, is_abandoned)
  layout.open, layout.calls, layout.binds_next, layout.abandoned = {}, nil, false, 0
  for first = from, till, 64 do
    for at, message in ipairs(redis.call('LRANGE', messages, first, math.min(first + 63, till))) do
      local index = first + at - 1
      local changed = group_message(message, list_seq(index, dropped, layout.gaps), layout, is_abandoned)
      if begins_turn(changed) then
        layout.user_seq = list_seq(index, dropped, layout.gaps)
      end
      if changed ~= message then redis.call('LSET', messages, index, changed) end
    end
  end
  drop_closed_calls(layout)
  return layout.abandoned
end
