-- Reads what a script that drains the inbox starts from: {life, status, counts, rules, limits, aside, records, lease, line,
-- inbox, max_inbox, place}. The refusal, second, when the session is gone or is another one by now.
local function look(session, life, ops)
  local known = redis.call('HMGET', session, 'life', 'status', 'counts', 'rules', 'limits', 'aside', ops,
    'lease', 'line', 'inbox', 'max_inbox', 'place')
  return known, identify(known[1], life)
end
