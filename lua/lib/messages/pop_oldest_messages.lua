-- Drop `count` messages from the head of the list. A pinned message moves into the session's hash, where it still counts.
-- Return the seqs of the moved messages, and the bytes and tokens that are gone.
--- include: is_pinned message_tokens
local function pop_oldest_messages(session, messages, count, dropped, pinned_trimmed)
  local bytes, tokens = 0, 0
  local popped = {count == 1 and redis.call('LPOP', messages) or nil} -- one message comes faster without a list
  if count > 1 then popped = redis.call('LPOP', messages, count) end
  for at, message in ipairs(popped) do
    if is_pinned(message) then
      pinned_trimmed = pinned_trimmed .. ' ' .. dropped + at
      redis.call('HSET', session, 'pinned.' .. dropped + at, message, 'pinned_trimmed', pinned_trimmed)
    else
      bytes, tokens = bytes + #message, tokens + message_tokens(message)
    end
  end
  return pinned_trimmed, bytes, tokens
end
