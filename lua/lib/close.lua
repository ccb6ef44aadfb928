-- Ends a session for good: takes its inbox in first, unless a limit refuses it, then does what `conclude` does. Returns
-- {life, 'rev '}, or the refusal, second. An end that deletes the session is remembered by its parent.
local function close(session, messages, family, now, batch, status, reason, result)
  local told, refusal = report(session, family, now, status, reason, result)
  if refusal then return nil, refusal end
  local first, ops = batch .. '.inbox', bucket(batch)
  local before = look(session, '', bucket(first))
  if before[10] then
    --- include: push take waiting drain
    before.lenient = true
    drain(session, messages, before, {}, bucket(first), first, now)
  end
  local left = redis.call('HMGET', session, 'counts', 'rules', ops)
  if not left[1] then return nil, redis.error_reply('NOT_FOUND its messages were evicted') end
  local count = counts(left[1])
  if conclude(session, messages, family, now, status, told) then
    --- include: note
    local rev, parent = count.rev + 1 .. ' ', redis.call('HMGET', family[1], 'counts', ops)
    if parent[1] then note(family[1], parent[1], ops, parent[2], batch, rev) end
    return {before[1], rev}
  end
  return answer(session, messages, {before[1], count, left[2], status, left[3], now = now, family = family}, batch, '')
end
