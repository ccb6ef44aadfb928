-- Visits a session's messages from the newest below a seq to the oldest above another, those aside last.
-- Ends when `visit(seq, message)` answers true or after `scan` messages; returns the seq to go on below, or 0.
local function backwards(session, messages, dropped, aside, high, after, scan, visit)
  local low = math.max(dropped, after)
  while high > low do
    local first = math.max(high - 99, low + 1)
    local page = redis.call('LRANGE', messages, first - dropped - 1, high - dropped - 1)
    for at = #page, 1, -1 do
      if scan == 0 then return first + at end
      scan = scan - 1
      if visit(first + at - 1, page[at]) then return 0 end
    end
    high = first - 1
  end
  local seqs = {}
  for seq in string.gmatch(aside, '%d+') do
    if seq + 0 > after and seq + 0 <= high then seqs[#seqs + 1] = seq end
  end
  for at = #seqs, 1, -1 do
    if visit(seqs[at] + 0, redis.call('HGET', session, 'pinned.' .. seqs[at])) then return 0 end
  end
  return 0
end
