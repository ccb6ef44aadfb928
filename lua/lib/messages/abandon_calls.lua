-- Give up open calls, so that they do not hold their group open: those of '<hash> …', or all for '*'. Return how many there were.
--- include: list_index regroup_messages
local function abandon_calls(messages, layout, counters, hashes)
  local chosen = {}
  for _, call in ipairs(layout.open) do
    if hashes == '*' or string.find(hashes, string.sub(call[1], 1, 8), 1, true) then chosen[call[1]] = call[2] end
  end
  if not next(chosen) then return 0 end
  local from = math.max(list_index(layout.group, counters.dropped, layout.gaps), 0)
  return regroup_messages(messages, layout, counters.dropped, from, counters.last_seq - counters.dropped - 1,
    function(hash, seq) return chosen[hash] == seq end)
end
