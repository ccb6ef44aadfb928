-- Add entries to a part, with the time, and note the IDs of those that have one. `part` and `totals` count them.
--- include: encode_time entry_batch
local function push_part_messages(parts, part, totals, entries, operation, now_ms)
  local time, pairs = encode_time(now_ms) .. '0', {}
  for at, entry in ipairs(entries) do
    local seq, id = part.last_seq + 1, entry_batch(entry)
    pairs[#pairs + 1] = string.format('message.%d %d', part.number, seq)
    pairs[#pairs + 1] = time .. entry
    if id ~= operation then
      pairs[#pairs + 1] = string.format('id.%d %s', part.number, id)
      pairs[#pairs + 1] = seq
    end
    part.last_seq, part.bytes, totals.bytes = seq, part.bytes + #entry + 8, totals.bytes + #entry + 8
    if #pairs > 990 or at == #entries then
      redis.call('HSET', parts, unpack(pairs))
      pairs = {}
    end
  end
  part.updated_ms, totals.messages = now_ms, totals.messages + #entries
end
