-- Check a change of the fields that callers name: metadata, state, variables. `fields` has names and values to set from `first` on,
-- then names to remove up to `last`. `bounds` is '<fields> <metadata bytes> <state bytes> <variable bytes>'.
-- Return the refusal; or nil and `value_bytes` after the change.
local function check_values(session, fields, first, set_count, last, bounds)
  local maxima, sizes, total, at = {}, {}, redis.call('HLEN', session), first -- by prefix
  local max_fields
  max_fields, maxima['meta'], maxima['state'], maxima['var'] = string.match(bounds, '^(%d+) (%d+) (%d+) (%d+)$')
  sizes['meta'], sizes['state'], sizes['var'] =
    string.match(redis.call('HGET', session, 'value_bytes') or '0 0 0', '^(%d+) (%d+) (%d+)$')
  while at <= last do
    local is_set, name = at < first + set_count * 2, fields[at]
    local prefix, key = string.match(name, '^(%l+)%.(.*)$')
    local is_there = redis.call('HEXISTS', session, name) == 1
    total = total + (is_set and 1 or 0) - (is_there and 1 or 0)
    if sizes[prefix or ''] then
      local before = is_there and #key + redis.call('HSTRLEN', session, name) or 0
      local size = sizes[prefix] - before + (is_set and #key + #fields[at + 1] or 0)
      if size > sizes[prefix] + 0 and size > maxima[prefix] + 0 then
        local bound = prefix == 'meta' and 'metadata' or prefix == 'var' and 'variables' or prefix
        return redis.error_reply(string.format('BOUND_EXCEEDED %s_bytes %d %d', bound, size, maxima[prefix]))
      end
      sizes[prefix] = math.max(size, 0)
    end
    at = at + (is_set and 2 or 1)
  end
  if set_count > 0 and total > max_fields + 0 then
    return redis.error_reply(string.format('BOUND_EXCEEDED fields %d %d', total, max_fields))
  end
  return nil, string.format('%d %d %d', sizes['meta'], sizes['state'], sizes['var'])
end
