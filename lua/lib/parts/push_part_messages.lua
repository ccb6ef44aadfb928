-- Add entries to a part, with the time, and note the IDs of those that have one. `part` and `totals` count them.
--- include: encode_time entry_batch
local function push_part_messages(parts, part, totals, entries, operation, now_ms)
  local time, values, count, seq, bytes = encode_time(now_ms) .. '0', {}, 0, part.last_seq, 0
  local message_prefix, id_prefix = string.format('message.%d ', part.number), string.format('id.%d ', part.number)
  for at, entry in ipairs(entries) do
    local id = entry_batch(entry)
    seq, bytes = seq + 1, bytes + #entry + 8
    values[count + 1], values[count + 2], count = message_prefix .. seq, time .. entry, count + 2
    if id ~= operation then
      values[count + 1], values[count + 2], count = id_prefix .. id, seq, count + 2
    end
    if count > 990 or at == #entries then
      redis.call('HSET', parts, unpack(values, 1, count))
      count = 0
    end
  end
  part.last_seq, part.bytes, part.updated_ms = seq, part.bytes + bytes, now_ms
  totals.messages, totals.bytes = totals.messages + #entries, totals.bytes + bytes
end
