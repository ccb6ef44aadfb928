-- Reads what every change starts from: {life, counts, rules, status, records, now =, family =, lapsed = a lease that ran out}.
-- Or the answer, second: the result of the same operation before, or the refusal when the session is gone, is another
-- one by now, is held by another, was cancelled with its tree, or has moved on.
local function guard(session, family, life, lease, expected, batch)
  local known = redis.call('HMGET', session, 'life', 'counts', 'rules', 'status', bucket(batch), 'lease', 'place')
  local refusal = identify(known[1], life)
  if refusal then return nil, refusal end
  local before = recall(known[5] or '', batch)
  if before then
    mark(session, known[1])
    return nil, {known[1], before}
  end
  known.now, known.family = clock(), family
  refusal = belong(family, known[7])
  if refusal then return nil, refusal end
  refusal, known.lapsed = fence(known[6], lease, known.now)
  if refusal then return nil, refusal end
  known[2] = counts(known[2])
  if expected ~= '' and expected + 0 ~= known[2].rev then
    return nil, redis.error_reply(string.format('REVISION %d', known[2].rev))
  end
  return known
end
