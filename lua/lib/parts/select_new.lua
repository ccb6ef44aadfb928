-- Return the entries whose IDs are new in part `number` (0: the session's own messages), and how many others there are. The ID of an
-- entry is its batch ID, unless that is the operation ID: such an entry has no ID and is always new. `parts` is nil without parts.
--- include: entry_batch
local function select_new(parts, number, entries, operation)
  local new, known = {}, {}
  for first = 1, #entries, 500 do
    local fields = {}
    for at = first, math.min(first + 499, #entries) do
      fields[#fields + 1] = string.format('id.%d %s', number, entry_batch(entries[at]))
    end
    local found = parts and redis.call('HMGET', parts, unpack(fields)) or {}
    for at, field in ipairs(fields) do
      local entry = entries[first + at - 1]
      local has_id = entry_batch(entry) ~= operation
      if not has_id or not (found[at] or known[field]) then new[#new + 1] = entry end
      if has_id then known[field] = true end
    end
  end
  return new, #entries - #new
end
