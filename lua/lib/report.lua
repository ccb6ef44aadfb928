-- What an end makes of a session, before anything is written: {facts, number in its tree, root, parent's entry, its batch id,
-- reason, result}; no entry where the tree knows already. What ended before keeps its reason and result. The refusal of a
-- result that is too large for the parent is the second answer.
local function report(session, family, now, status, reason, result)
  local known = redis.call('HMGET', session, 'life', 'place', 'label', 'agent', 'created', 'usage', 'children', 'cleanup',
    'finished', 'reason', 'result', 'joiners')
  local told = {known, '0', family[#family - 1] or session}
  if known[9] then reason, result = known[10] or '', known[11] or '' end
  told[6], told[7] = reason, result
  if not known[2] then return told end
  --- include: quote notice
  told[2] = string.match(known[2], '^%d+')
  if string.match(redis.call('HGET', told[3], 'member.' .. told[2]) or '', '^%S+ %d+ (%S+)') ~= 'active' then return told end
  local entry, batch, size = notice(known, status, reason, result, now)
  local rules = redis.call('HGET', family[1], 'rules')
  local most = rules and string.match(rules, '^%S+ %S+ (%d+)') + 0
  if most and result ~= '' and size > most then return nil, redis.error_reply('TOO_LARGE ' .. size .. ' ' .. most) end
  told[4], told[5] = entry, batch
  return told
end
