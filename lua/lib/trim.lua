-- Drops messages from the head until the cap holds and the policy is kept. Pinned ones move aside into the session's hash.
-- Returns how many left the list, the bytes and tokens that are gone, and the seqs of all that are aside.
local function trim(session, messages, count, excess, policy, dropped, aside)
  local leaving, bytes, tokens = cut(messages, count, excess, policy), 0, 0
  for at, message in ipairs(leaving > 0 and redis.call('LPOP', messages, leaving) or {}) do
    if flags(message) then
      redis.call('HSET', session, 'pinned.' .. dropped + at, message)
      aside = (aside == '' and '' or aside .. ' ') .. dropped + at
      redis.call('HSET', session, 'aside', aside)
    else
      bytes = bytes + #message
      tokens = tokens + string.match(message, '^%d+', 16)
    end
  end
  return leaving, bytes, tokens, aside
end
