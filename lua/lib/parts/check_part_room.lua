-- Return the refusal of entries that are too large, or that would exceed a bound of all parts; else nil. `write.totals` counts a
-- new part already.
--- include: split_settings parse_entry
local function check_part_room(write, entries, bounds)
  local _, _, max_message_bytes = split_settings(write.settings)
  local bytes, totals = 0, write.totals
  for _, entry in ipairs(entries) do
    local _, _, _, space = parse_entry(entry)
    local size = #entry - string.find(entry, ' ', space + 1, true)
    if size > max_message_bytes + 0 then return redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %s', size, max_message_bytes)) end
    bytes = bytes + #entry + 8
  end
  local max_parts, max_messages, max_bytes = string.match(bounds, '^(%d+) (%d+) (%d+)$')
  for _, one in ipairs({
    {'parts', totals.parts, max_parts}, {'part_messages', totals.messages + totals.ids + #entries, max_messages},
    {'parts_bytes', totals.bytes + bytes, max_bytes},
  }) do
    local bound, found, maximum = unpack(one)
    if found > maximum + 0 then return redis.error_reply(string.format('BOUND_EXCEEDED %s %.0f %s', bound, found, maximum)) end
  end
end
