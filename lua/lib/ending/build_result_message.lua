-- Build the message that tells a parent of a child's end. Its payload is a record, from which readers make the payload:
-- '\2<child ID> <incarnation> <label> <agent> <status> <runtime in s> <bytes of usage> <of reason> <of result> ', then usage,
-- reason, result, and the template of the child's report. The entry has the kind, flags and facts of the report '<kind><flags>
-- <facts or -> <template>', else those of a user message. An empty report builds nothing: ''. An encoded result names the size of
-- its text.
-- `child`: {incarnation, id, label, agent, created, usage, report}. Return the entry, its batch ID, and the size of its payload.
local function build_result_message(child, status, reason, result, now_ms)
  if child.report == '' then return '', '', 0 end
  local batch, usage, kind, facts, template = '~' .. child.incarnation .. '.result', child.usage or '', 'u@', '-', ''
  if child.retries and child.retries > 0 then batch = batch .. '.' .. child.retries end
  if child.report then kind, facts, template = string.match(child.report, '^(..) (%S+) (.*)$') end
  local text = result ~= '' and result or reason
  local size = string.match(text, '^\1%l+ (%d+) ') or #text - (string.sub(result, 1, 1) == '"' and 2 or 0)
  local payload = string.format('\2%s %s %s %s %s %.3f %d %d %d ', child.id, child.incarnation, child.label or '', child.agent or '',
    status, math.max(now_ms - child.created / 1000, 0) / 1000, #usage, #reason, #result) .. usage .. reason .. result .. template
  size = size + #(child.label or child.agent or child.id) + #status + (text ~= '' and 4 or 3)
  return string.format('%s%d %s ', kind, math.floor(size / 4) + 1, batch) .. (facts == '-' and '' or facts .. ' ') .. payload, batch,
    #payload
end
