-- Drop `count` messages from the head of the list. A pinned message or a summary moves into the session's hash, where it still
-- counts; `layout` is changed. Return the bytes and tokens that are gone, the last user message among those that left
-- with its seq, and the bytes of all that left.
--- include: is_kept message_tokens list_seq gaps_behind
local function pop_oldest_messages(session, messages, count, dropped, layout)
  local bytes, tokens, user, user_seq, seqs, moved_bytes = 0, 0, nil, nil, {}, 0
  for at, message in ipairs(redis.call('LPOP', messages, count)) do
    local kind, flags = string.byte(message, 9, 10)
    if kind == 117 and (flags or 0) % 4 < 2 then user, user_seq = message, at end -- u
    if is_kept(message) then
      local seq = list_seq(at - 1, dropped, layout.gaps)
      seqs[#seqs + 1] = string.format('%d', seq)
      moved_bytes = moved_bytes + #message
      redis.call('HSET', session, 'kept.' .. seq, message)
    else
      bytes, tokens = bytes + #message, tokens + message_tokens(message)
    end
  end
  if seqs[1] then
    --- include: add_kept_seqs
    add_kept_seqs(session, layout, seqs)
  end
  if user then user_seq = list_seq(user_seq - 1, dropped, layout.gaps) end
  if layout.gaps ~= '' then layout.gaps = gaps_behind(list_seq(count, dropped, layout.gaps), layout.gaps) end
  return bytes, tokens, user, user_seq, bytes + moved_bytes
end
