-- Return the names and values of the fields of a hash in which one more session is noted as waiting, see count_waiting. `settings`
-- change.
--- include: format_settings
local function waiting_fields(number, waiting, settings, idle_ttl)
  local fields = {'waits.' .. number, '1', 'waiting', string.format('%d', waiting + 1)}
  if not idle_ttl and settings.ttl_ms > 0 then
    fields[5], fields[6] = 'idle_ttl', string.format('%d', settings.ttl_ms)
    settings.ttl_ms = math.max(settings.ttl_ms, 2592000000)
    fields[7], fields[8] = 'settings', format_settings(settings)
  end
  return fields
end
