-- Check the part of an edit that concerns the state. `fields` are name, value ('' for none), … that must be there, then name, value, …
-- to set. Return the index of the first field to set; or nil and the refusal.
local function check_state(session, fields, check_count, set_count, max_fields)
  for at = 1, check_count * 2, 2 do
    local found, wanted = redis.call('HGET', session, fields[at]) or '', fields[at + 1]
    if found ~= wanted then
      --- include: ordered_json
      if ordered_json(found, 1) ~= ordered_json(wanted, 1) then
        return nil, redis.error_reply('STATE_CONFLICT ' .. fields[at])
      end
    end
  end
  local set_from, total = check_count * 2 + 1, redis.call('HLEN', session)
  for at = set_from, set_from + set_count * 2 - 1, 2 do total = total + 1 - redis.call('HEXISTS', session, fields[at]) end
  if set_count > 0 and total > max_fields then
    return nil, redis.error_reply(string.format('LIMIT_EXCEEDED fields %d %d error', total, max_fields))
  end
  return set_from
end
