-- Return the stored options of a session, '' for a missing one: {settings, limits, tree_limits, budget, max_tokens, max_inbox,
-- created}. The creation tells the lifetime. A session that waits has its own ttl in a field of its own.
--- include: parse_settings format_settings
local function read_option_fields(session)
  local options = redis.call('HMGET', session, 'settings', 'limits', 'tree_limits', 'budget', 'max_tokens', 'max_inbox',
    'created', 'idle_ttl')
  local idle_ttl = table.remove(options)
  if idle_ttl then
    local settings = parse_settings(options[1])
    settings.ttl_ms = idle_ttl + 0
    options[1] = format_settings(settings)
  end
  for at, value in ipairs(options) do options[at] = value or '' end
  return options
end
