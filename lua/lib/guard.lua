-- Reads what every change starts from: {life, counts, rules, status}. Or the refusal, second, when the session is gone,
-- is another one by now, or has moved on from the expected rev.
local function guard(session, life, expected)
  local known = redis.call('HMGET', session, 'life', 'counts', 'rules', 'status')
  local refusal = identify(known[1], life)
  if refusal then return nil, refusal end
  known[2] = counts(known[2])
  if expected ~= '' and expected + 0 ~= known[2].rev then
    return nil, redis.error_reply(string.format('REVISION %.0f', known[2].rev))
  end
  return known
end
