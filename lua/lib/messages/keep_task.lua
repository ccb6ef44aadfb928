-- Keep the newest user message as the task when the cap drops it while its turn goes on, because a transcript must begin with a
-- user message. `user_seq` is the seq of the newest user message that starts a group. `user` is the newest user message that left
-- the list, and `popped_seq` its seq. An older task leaves, and so does a task once the list begins with a user message. Return
-- the bytes and tokens that were added, which may be negative.
--- include: is_kept message_kind message_tokens list_seq kept_seqs set_kept_seqs
local function keep_task(session, messages, layout, dropped, user_seq, user, popped_seq)
  local head, task = redis.call('LINDEX', messages, 0), layout.task
  if user_seq < list_seq(0, dropped, layout.gaps) then
    task = popped_seq or task
  elseif task > 0 and message_kind(head) == 'u' then
    task = 0
  end
  if task == layout.task then return 0, 0 end
  local bytes, tokens, seqs = 0, 0, {}
  for _, seq in ipairs(kept_seqs(session, layout)) do
    local message = seq == layout.task and redis.call('HGET', session, 'kept.' .. seq)
    if seq == task then user = nil end
    if message and not is_kept(message) then
      bytes, tokens = bytes - #message, tokens - message_tokens(message)
      redis.call('HDEL', session, 'kept.' .. seq)
    else
      seqs[#seqs + 1] = seq
    end
  end
  if task > 0 and user then
    seqs[#seqs + 1] = task
    table.sort(seqs)
    redis.call('HSET', session, 'kept.' .. task, user)
    bytes, tokens = bytes + #user, tokens + message_tokens(user)
  end
  layout.task = task
  set_kept_seqs(session, layout, seqs)
  return bytes, tokens
end
