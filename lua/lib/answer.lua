-- Stores a change of what `guard` gave, remembers its result under its batch id, and answers {life, 'rev result'}.
local function answer(session, messages, known, batch, result)
  local count = known[2]
  count.ops = count.ops + 1
  change(session, messages, known.now, known[3], count)
  uphold(known.family, known.now)
  result = count.rev .. ' ' .. result
  redis.call('HSET', session, bucket(batch), remember(known[5] or '', batch, count.ops, result))
  if known.lapsed then redis.call('HSET', session, 'lease', known.lapsed) end
  return {known[1], result}
end
