-- Begin a write of a shared scope. Return {bytes, count, operations, ttl_ms, field, results}, or nil and the result of the same
-- operation before, or nil and nil and a refusal. `totals` is '<bytes> <values> <operations> <ttl in ms, or 0>'.
--- include: check_operation results_field find_result
local function begin_shared_write(values, log, operation, ttl_ms)
  local refusal = check_operation(operation)
  if refusal then return nil, nil, refusal end
  local field = results_field(operation)
  local totals, results = unpack(redis.call('HMGET', log, 'totals', field))
  local before = results and find_result(results, operation)
  if before then
    redis.call('HSET', log, 'totals', totals)
    return nil, before
  end
  if not totals then
    local bytes, all = 0, redis.call('HGETALL', values)
    for _, part in ipairs(all) do bytes = bytes + #part end
    totals = string.format('%d %d 0 0', bytes, #all / 2)
  end
  local bytes, count, operations, kept_ttl_ms = string.match(totals, '^(%d+) (%d+) (%d+) (%d+)$')
  return {
    bytes = bytes + 0, count = count + 0, operations = operations + 1, field = field, results = results or '',
    ttl_ms = ttl_ms == '' and kept_ttl_ms + 0 or ttl_ms + 0,
  }
end
