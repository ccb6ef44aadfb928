-- Record the results of the appends that find_recent finds, before a change that takes their messages away or adds others behind
-- them. `recent` is nil if the session had no such field. `field` is the one of the operation that changes them, `results` what it
-- had. Return what it has then.
--- include: results_field append_result message_batch parse_counters parse_layout
local function record_recent(session, messages, recent, field, results)
  if not recent then return results end
  local text, layout
  recent, text, layout = unpack(redis.call('HMGET', session, 'recent', 'counters', 'layout'))
  if not recent then return results end
  local _, marks = string.gsub(recent, '[^%z]', '')
  local counters, listed, found = parse_counters(text), redis.call('LRANGE', messages, -marks, -1), {}
  local seq, dropped, at = counters.last_seq, counters.dropped - parse_layout(layout).kept, #listed
  for slot = #recent, 1, -1 do
    if string.byte(recent, slot) > 0 and listed[at] then
      local age, batch = #recent - slot, message_batch(listed[at])
      if batch then -- else the message is damaged
        local its_field = results_field(batch)
        found[its_field] = append_result(found[its_field] or redis.call('HGET', session, its_field) or '', batch,
          counters.operations - age, string.format('%d %d %d %d %d ok', seq, seq, counters.rev - age, seq - dropped, dropped))
      end
      seq, dropped, at = seq - 1, dropped - (string.byte(listed[at], 8) or 48) + 48, at - 1
    end
  end
  for its_field, its_results in pairs(found) do
    redis.call('HSET', session, its_field, its_results)
  end
  redis.call('HDEL', session, 'recent')
  return redis.call('HGET', session, field) or ''
end
