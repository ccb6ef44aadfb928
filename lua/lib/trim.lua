-- Drops messages from the head until the cap holds and the policy is kept. Returns how many are listed, dropped and aside,
-- and the bytes and tokens that are gone.
local function trim(session, messages, count, dropped, seqs, cap, policy)
  local aside, bytes, tokens = words(seqs), 0, 0
  local excess = cap > 0 and math.max(count + aside - cap, 0) or 0
  repeat
    local leaving = policy == 'oldest' and excess or cut(session, messages, count, excess, policy, dropped)
    local its_bytes, its_tokens
    seqs, its_bytes, its_tokens = shed(session, messages, leaving, dropped, seqs)
    aside, bytes, tokens = words(seqs), bytes + its_bytes, tokens + its_tokens
    count, dropped = count - leaving, dropped + leaving
    excess = count + aside - cap
  until cap == 0 or excess <= 0
  return count, dropped, aside, bytes, tokens
end
