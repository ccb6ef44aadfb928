-- Return the entries whose IDs are new in part `number` (0: the session's own messages), and how many others there are. The ID of
-- an entry is its batch ID, unless that is the operation ID: such an entry has no ID and is always new. `parts` is nil without
-- parts.
--- include: entry_batch
local function select_new(parts, number, entries, operation)
  local new, known, prefix = {}, {}, string.format('id.%d ', number)
  for first = 1, #entries, 500 do
    local ids, fields = {}, {}
    for at = first, math.min(first + 499, #entries) do
      local id = entry_batch(entries[at])
      ids[#ids + 1], fields[#fields + 1] = id, prefix .. id
    end
    local found = parts and redis.call('HMGET', parts, unpack(fields)) or {}
    for at, id in ipairs(ids) do
      local has_id = id ~= operation
      if not has_id or not (found[at] or known[id]) then new[#new + 1] = entries[first + at - 1] end
      if has_id then known[id] = true end
    end
  end
  return new, #entries - #new
end
