-- Return the stored options of a session, '' for a missing one: {settings, limits, tree_limits, budget, max_tokens, max_inbox,
-- created}. The creation tells the lifetime.
local function read_option_fields(session)
  local options = redis.call('HMGET', session, 'settings', 'limits', 'tree_limits', 'budget', 'max_tokens', 'max_inbox',
    'created')
  for at, value in ipairs(options) do options[at] = value or '' end
  return options
end
