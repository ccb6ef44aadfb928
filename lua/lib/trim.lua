-- Drops messages from the head until the cap holds and the policy is kept. Pinned ones move aside into the session's
-- hash, where they still count. Returns how many are listed, dropped and aside, and the bytes and tokens that are gone.
local function trim(session, messages, count, dropped, seqs, cap, policy)
  local aside, bytes, tokens = words(seqs), 0, 0
  local excess = cap > 0 and math.max(count + aside - cap, 0) or 0
  repeat
    local leaving = policy == 'oldest' and excess or cut(session, messages, count, excess, policy, dropped)
    local gone = {leaving == 1 and redis.call('LPOP', messages) or nil} -- alone it comes without a list, sooner
    if leaving > 1 then gone = redis.call('LPOP', messages, leaving) end
    for at, message in ipairs(gone) do
      if string.byte(message, 15) % 2 == 1 then
        aside, seqs = aside + 1, seqs .. ' ' .. dropped + at
        redis.call('HSET', session, 'pinned.' .. dropped + at, message, 'aside', seqs)
      else
        bytes, tokens = bytes + #message, tokens + string.match(message, '^%d+', 16)
      end
    end
    count, dropped = count - leaving, dropped + leaving
    excess = count + aside - cap
  until cap == 0 or excess <= 0
  return count, dropped, aside, bytes, tokens
end
