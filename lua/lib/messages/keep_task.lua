-- Keep the newest user message when the cap drops it while its turn goes on. `user_seq` is the newest one that starts a group, and
-- `user` the newest one that left, with its seq: it becomes the task, because a transcript must begin with a user message.
-- An older task leaves, and so does a task once the list begins with a user message. Return the bytes and tokens that were added,
-- which may be negative.
--- include: is_kept message_kind message_tokens list_seq
local function keep_task(session, messages, layout, dropped, user_seq, user, popped_seq)
  local head, task = redis.call('LINDEX', messages, 0), layout.task
  if user_seq < list_seq(0, dropped, layout.gaps) then
    task = popped_seq or task
  elseif task > 0 and message_kind(head) == 'u' then
    task = 0
  end
  if task == layout.task then return 0, 0 end
  local bytes, tokens, seqs = 0, 0, {}
  for _, seq in ipairs(layout.aside) do
    local message = redis.call('HGET', session, 'kept.' .. seq)
    if seq == task then user = nil end
    if is_kept(message) or seq == task then
      seqs[#seqs + 1] = seq
    else
      bytes, tokens = bytes - #message, tokens - message_tokens(message)
      redis.call('HDEL', session, 'kept.' .. seq)
    end
  end
  if task > 0 and user then
    seqs[#seqs + 1] = task
    table.sort(seqs)
    redis.call('HSET', session, 'kept.' .. task, user)
    bytes, tokens = bytes + #user, tokens + message_tokens(user)
  end
  layout.aside, layout.task = seqs, task
  return bytes, tokens
end
