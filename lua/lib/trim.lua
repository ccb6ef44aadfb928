-- Drops messages from the head until the cap holds and the policy is kept. Pinned ones move aside into the session's hash.
-- Returns how many left the list, the bytes and tokens that are gone, and the seqs of all that are aside.
local function trim(session, messages, count, excess, policy, dropped, aside)
  local leaving, bytes, tokens = excess, 0, 0
  if policy ~= 'oldest' then leaving = cut(session, messages, count, excess, policy, dropped) end
  for at, message in ipairs(leaving > 0 and redis.call('LPOP', messages, leaving) or {}) do
    if string.byte(message, 15) % 2 == 1 then -- pinned
      aside = aside .. ' ' .. dropped + at
      redis.call('HSET', session, 'pinned.' .. dropped + at, message, 'aside', aside)
    else
      bytes = bytes + #message
      tokens = tokens + string.match(message, '^%d+', 16)
    end
  end
  return leaving, bytes, tokens, aside
end
