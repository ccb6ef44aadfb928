-- What a parent is told of a child's end, as a message of the user's: readable for a model, the facts as metadata.
-- `child`: {life, place, label, agent, created, usage}. Returns the entry, its batch id and its size.
local function notice(child, status, reason, result, now)
  local id = string.match(child[2], '^%S+ %S+ %S+ (%S+)')
  local head = string.format('[%s %s]', child[3] or child[4] or id, status)
  local told, length = result ~= '' and result or reason, nil
  if string.sub(result, 1, 1) == '"' then
    told = string.sub(quote(head .. ' '), 1, -2) .. string.sub(result, 2)
    result = ''
  else
    told = told ~= '' and head .. ' ' .. told or head
    length, told = #told, quote(told)
  end
  length = length or #string.gsub(told, '\\.', '?') - 2
  local facts = string.format('"session":%s,"run_id":"%s","label":%s,"status":"%s","reason":%s,"runtime":%.3f',
    quote(id), child[1], child[3] and quote(child[3]) or 'null', status, reason ~= '' and quote(reason) or 'null',
    math.max(now - child[5] / 1000, 0) / 1000)
  if child[6] then
    local names, at = {'input', 'output', 'reasoning', 'cache_read', 'cache_write', 'total', 'cost_micros'}, 0
    facts = facts .. ',"usage":{' .. string.gsub(child[6], '%d+ ?', function(number)
      at = at + 1
      return string.format('%s"%s":%s', at > 1 and ',' or '', names[at], string.match(number, '%d+'))
    end) .. '}'
  end
  if result ~= '' then facts = facts .. ',"result":' .. result end
  local payload = '{"role":"user","content":' .. told .. ',"metadata":{"subagent":{' .. facts .. '}}}'
  local batch = child[1] .. '.result'
  return string.format('u@%d %s %s', math.floor(length / 4) + 1, batch, payload), batch, #payload
end
