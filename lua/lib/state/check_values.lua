-- Check a change of the values that callers name: metadata, state, variables. `fields` has names and values to set from `first`
-- on, then names to remove up to `last`. `bounds` is '<metadata bytes> <state bytes> <variable bytes> <number of values>'.
-- Return the refusal; or nil and `value_bytes` after the change.
--- include: parse_value_bytes format_value_bytes
local function check_values(session, fields, first, set_count, last, bounds)
  local maxima, max_values = parse_value_bytes(bounds)
  local record = redis.call('HGET', session, 'value_bytes')
  local sizes, count = parse_value_bytes(record)
  local at = first
  while at <= last do
    local is_set, name = at < first + set_count * 2, fields[at]
    local prefix, key = string.match(name, '^(%l+)%.(.*)$')
    if sizes[prefix or ''] then
      local is_there = redis.call('HEXISTS', session, name) == 1
      local before = is_there and #key + redis.call('HSTRLEN', session, name) or 0
      sizes[prefix] = sizes[prefix] - before + (is_set and #key + #fields[at + 1] or 0)
      count = count + (is_set and 1 or 0) - (is_there and 1 or 0)
    end
    at = at + (is_set and 2 or 1)
  end
  for prefix, size in pairs(parse_value_bytes(record)) do
    local found, max = math.max(sizes[prefix], 0), maxima[prefix]
    if found > size and found > max then
      local bound = prefix == 'meta' and 'metadata' or prefix == 'var' and 'variables' or prefix
      return redis.error_reply(string.format('BOUND_EXCEEDED %s_bytes %d %d', bound, found, max))
    end
    sizes[prefix] = found
  end
  count = math.max(count, 0)
  if set_count > 0 and count > max_values then
    return redis.error_reply(string.format('BOUND_EXCEEDED values %d %d', count, max_values))
  end
  return nil, format_value_bytes(sizes, count)
end
