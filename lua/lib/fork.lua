-- Copies what a session retains into a child, as far as the child's cap allows: messages with their seqs, pinned ones, the
-- system prompt. Returns the refusal when more than half of that cap would be pinned.
local function fork(session, messages, child, listed, rules)
  local known = redis.call('HMGET', session, 'counts', 'aside', 'pins', 'system', 'system_tokens', 'cleared')
  local cap, policy = string.match(rules, '^(%d+) (%S+)')
  local _, refusal = pin(session, 0, cap + 0)
  if refusal then return refusal end
  for first = 0, redis.call('LLEN', messages) - 1, 1000 do
    redis.call('RPUSH', listed, unpack(redis.call('LRANGE', messages, first, first + 999)))
  end
  for at, name in ipairs({'aside', 'pins', 'system', 'system_tokens', 'cleared'}) do
    if known[at + 1] then redis.call('HSET', child, name, known[at + 1]) end
  end
  for seq in string.gmatch(known[2] or '', '%d+') do
    redis.call('HSET', child, 'pinned.' .. seq, redis.call('HGET', session, 'pinned.' .. seq))
  end
  local last, dropped, turns, bytes, tokens = string.match(known[1], '^%d+ (%d+) (%d+) (%d+ %d+ %d+ %d+) (%d+) (%d+)')
  local _, gone, _, gone_bytes, gone_tokens =
    trim(child, listed, last - dropped, dropped + 0, known[2] or '', cap + 0, policy)
  redis.call('HSET', child, 'counts',
    string.format('0 %s %d %s %d %d', last, gone, turns, bytes - gone_bytes, tokens - gone_tokens))
end
