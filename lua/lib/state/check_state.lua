-- Check the part of an edit that concerns the state. `fields` are name, value ('' for none), … that must be there, then name,
-- value, … to set, then names to remove. Return the index of the first field to set; then the refusal, or nil and `value_bytes`
-- after the change.
--- include: check_values
local function check_state(session, fields, check_count, set_count, remove_count, bounds)
  local left = 8192 -- bytes of values whose keys are put in order: the client compares larger ones
  for at = 1, check_count * 2, 2 do
    local found, wanted = redis.call('HGET', session, fields[at]) or '', fields[at + 1]
    if found ~= wanted then
      --- include: ordered_json
      left = left - #wanted
      if #found ~= #wanted or left < 0 or ordered_json(found, 1) ~= ordered_json(wanted, 1) then
        return nil, redis.error_reply('STATE_CONFLICT ' .. fields[at])
      end
    end
  end
  local set_from = check_count * 2 + 1
  if set_count + remove_count == 0 then return set_from end
  local refusal, value_bytes = check_values(session, fields, set_from, set_count, set_from - 1 + set_count * 2 + remove_count, bounds)
  return set_from, refusal, value_bytes
end
