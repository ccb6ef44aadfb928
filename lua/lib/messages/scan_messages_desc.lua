-- Visit messages from the newest with a seq of at most `high` to the oldest above `after`; pinned ones in the hash come
-- last. Stop when `visit(seq, message)` returns true, or after `max_scanned` messages. Return the seq to go on below, or 0.
local function scan_messages_desc(session, messages, dropped, pinned_trimmed, high, after, max_scanned, visit)
  local low = math.max(dropped, after)
  while high > low do
    local first = math.max(high - 99, low + 1)
    local page = redis.call('LRANGE', messages, first - dropped - 1, high - dropped - 1)
    for at = #page, 1, -1 do
      if max_scanned == 0 then return first + at end
      max_scanned = max_scanned - 1
      if visit(first + at - 1, page[at]) then return 0 end
    end
    high = first - 1
  end
  local seqs = {}
  for seq in string.gmatch(pinned_trimmed, '%d+') do
    if seq + 0 > after and seq + 0 <= high then seqs[#seqs + 1] = seq end
  end
  for at = #seqs, 1, -1 do
    if visit(seqs[at] + 0, redis.call('HGET', session, 'pinned.' .. seqs[at])) then return 0 end
  end
  return 0
end
