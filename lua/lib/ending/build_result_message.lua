-- Build the message that tells a parent of a child's end, with the facts as metadata: from the child's own template
-- '<kind><flags> <facts or -> <payload>', else a chat message of the user. An empty template builds nothing: ''.
-- `child`: {incarnation, id, label, agent, created, usage, report}. Return the entry, its batch ID, and the size of its payload.
--- include: json_quote
local function build_result_message(child, status, reason, result, now_ms)
  if child.report == '' then return '', '', 0 end
  local head = string.format('[%s %s]', child.label or child.agent or child.id, status)
  local text, length = result ~= '' and result or reason, nil
  if string.sub(result, 1, 1) == '"' then
    text = string.sub(json_quote(head .. ' '), 1, -2) .. string.sub(result, 2)
    result = ''
  else
    text = text ~= '' and head .. ' ' .. text or head
    length, text = #text, json_quote(text)
  end
  length = length or #string.gsub(text, '\\.', '?') - 2
  local facts = string.format('"session":%s,"run_id":"%s","label":%s,"status":"%s","reason":%s,"runtime":%.3f',
    json_quote(child.id), child.incarnation, child.label and json_quote(child.label) or 'null', status,
    reason ~= '' and json_quote(reason) or 'null', math.max(now_ms - child.created / 1000, 0) / 1000)
  if child.usage then
    local names, at = {'input', 'output', 'reasoning', 'cache_read', 'cache_write', 'total', 'cost_micros'}, 0
    facts = facts .. ',"usage":{' .. string.gsub(child.usage, '%d+ ?', function(number)
      at = at + 1
      return string.format('%s"%s":%s', at > 1 and ',' or '', names[at], string.match(number, '%d+'))
    end) .. '}'
  end
  if result ~= '' then facts = facts .. ',"result":' .. result end
  local batch, report = '~' .. child.incarnation .. '.result', child.report or 'u@ - {"role":"user","content":"@text@","metadata":"@facts@"}'
  if child.retries and child.retries > 0 then batch = batch .. '.' .. child.retries end
  local kind, result_facts, template = string.match(report, '^(..) (%S+) (.*)$')
  local text_at, text_end = string.find(template, '"@text@"', 1, true)
  local facts_at, facts_end = string.find(template, '"@facts@"', text_end + 1, true)
  local payload = string.sub(template, 1, text_at - 1) .. text .. string.sub(template, text_end + 1, facts_at - 1)
    .. '{"subagent":{' .. facts .. '}}' .. string.sub(template, facts_end + 1)
  local head_facts = result_facts == '-' and ' ' or ' ' .. result_facts .. ' '
  return string.format('%s%d %s', kind, math.floor(length / 4) + 1, batch) .. head_facts .. payload, batch, #payload
end
