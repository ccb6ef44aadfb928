-- Return a refusal when a session would have more fields than `max_fields`; else nil.
local function check_field_count(session, added, max_fields)
  local total = redis.call('HLEN', session) + added
  if total > max_fields then
    return redis.error_reply(string.format('BOUND_EXCEEDED fields %d %d', total, max_fields))
  end
end
