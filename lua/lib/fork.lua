-- Copies what a session retains into a child: messages with their seqs, pinned ones, the system prompt.
local function fork(session, messages, child, listed)
  local known = redis.call('HMGET', session, 'counts', 'aside', 'pins', 'system', 'system_tokens', 'cleared')
  for first = 0, redis.call('LLEN', messages) - 1, 1000 do
    redis.call('RPUSH', listed, unpack(redis.call('LRANGE', messages, first, first + 999)))
  end
  for at, name in ipairs({'aside', 'pins', 'system', 'system_tokens', 'cleared'}) do
    if known[at + 1] then redis.call('HSET', child, name, known[at + 1]) end
  end
  for seq in string.gmatch(known[2] or '', '%d+') do
    redis.call('HSET', child, 'pinned.' .. seq, redis.call('HGET', session, 'pinned.' .. seq))
  end
  redis.call('HSET', child, 'counts', '0 ' .. string.match(known[1], '^%d+ (.*) %d+ %d+$'))
end
