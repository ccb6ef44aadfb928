-- Return the seqs and the messages from a seq on, none if they are more than 64 messages or 1 MB, or not in the list: too much to
-- be kept for a repeated call.
--- include: list_index list_seq
local function read_group(messages, counters, layout, first_seq)
  local at, length = list_index(first_seq, counters.dropped, layout.gaps), counters.last_seq - counters.dropped
  local seqs, found, bytes = {}, {}, 0
  if at < 0 or length - at > 64 then return seqs, found end
  for index = at, length - 1 do
    local message = redis.call('LINDEX', messages, index)
    bytes = bytes + #message
    if bytes > 1000000 then return {}, {} end
    seqs[#seqs + 1], found[#found + 1] = list_seq(index, counters.dropped, layout.gaps), message
  end
  return seqs, found
end
