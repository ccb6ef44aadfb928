-- Drops so many messages from the head; pinned ones move aside into the session's hash, where they still count. Returns the
-- seqs that are aside, and the bytes and tokens that are gone.
local function shed(session, messages, leaving, dropped, seqs)
  local bytes, tokens = 0, 0
  local gone = {leaving == 1 and redis.call('LPOP', messages) or nil} -- alone it comes without a list, sooner
  if leaving > 1 then gone = redis.call('LPOP', messages, leaving) end
  for at, message in ipairs(gone) do
    if string.byte(message, 15) % 2 == 1 then
      seqs = seqs .. ' ' .. dropped + at
      redis.call('HSET', session, 'pinned.' .. dropped + at, message, 'aside', seqs)
    else
      bytes, tokens = bytes + #message, tokens + string.match(message, '^%d+', 16)
    end
  end
  return seqs, bytes, tokens
end
