-- Check a change of the values that callers name: metadata, state, variables. `fields` has names and values to set from `first`
-- on, then names to remove up to `last`. `bounds` is '<metadata bytes> <state bytes> <variable bytes> <number of values>'.
-- Return the refusal; or nil and `value_bytes` after the change.
--- include: parse_value_bytes format_value_bytes
local function check_values(session, fields, first, set_count, last, bounds)
  local maxima, max_values = parse_value_bytes(bounds)
  local sizes, count = parse_value_bytes(redis.call('HGET', session, 'value_bytes'))
  local at = first
  while at <= last do
    local is_set, name = at < first + set_count * 2, fields[at]
    local prefix, key = string.match(name, '^(%l+)%.(.*)$')
    if sizes[prefix or ''] then
      local is_there = redis.call('HEXISTS', session, name) == 1
      local before = is_there and #key + redis.call('HSTRLEN', session, name) or 0
      local size = sizes[prefix] - before + (is_set and #key + #fields[at + 1] or 0)
      if size > sizes[prefix] and size > maxima[prefix] then
        local bound = prefix == 'meta' and 'metadata' or prefix == 'var' and 'variables' or prefix
        return redis.error_reply(string.format('BOUND_EXCEEDED %s_bytes %d %d', bound, size, maxima[prefix]))
      end
      sizes[prefix] = math.max(size, 0)
      count = math.max(count + (is_set and 1 or 0) - (is_there and 1 or 0), 0)
    end
    at = at + (is_set and 2 or 1)
  end
  if set_count > 0 and count > max_values then
    return redis.error_reply(string.format('BOUND_EXCEEDED values %d %d', count, max_values))
  end
  return nil, format_value_bytes(sizes, count)
end
