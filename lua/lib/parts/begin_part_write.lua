-- Check what every write to a part checks first, and read the part. Return the write: {incarnation, status, counters (text),
-- settings, has_parts, part (parsed, or nil), totals, batches, now_ms, now_us, ancestor_keys, freed_lease}. Or return nil and
-- the reply: the result of the same operation before, or the refusal. `operation` is '' for a write that may be repeated.
--- include: check_incarnation check_operation touch_for_wait read_clock check_ancestors check_lease parse_part parse_part_totals
local function begin_part_write(session, parts, ancestor_keys, incarnation, lease, name, operation)
  local found, status, counters, settings, held, lineage, has_parts = unpack(redis.call('HMGET', session, 'incarnation', 'status',
    'counters', 'settings', 'lease', 'lineage', 'has_parts'))
  local refusal, record, totals, batches = check_incarnation(found, incarnation) or check_operation(operation), nil, nil, ''
  if refusal then return nil, refusal end
  if has_parts then
    record, totals = unpack(redis.call('HMGET', parts, 'part.' .. name, 'totals'))
    if not totals then return nil, redis.error_reply('SESSION_DAMAGED parts 0 1') end
  end
  local part = record and parse_part(record) or nil
  if part and operation ~= '' then
    batches = redis.call('HGET', parts, 'batches.' .. part.number) or ''
    local start = string.find(batches, '\n' .. operation .. ' ', 1, true)
    if start then
      touch_for_wait(session, found)
      return nil, {found, string.match(batches, '^\n%S+ ([^\n]*)', start), 1}
    end
  end
  local now_ms, now_us = read_clock()
  refusal = check_ancestors(ancestor_keys, lineage)
  if refusal then return nil, refusal end
  local freed_lease
  refusal, freed_lease = check_lease(held, lease, now_ms)
  if refusal then return nil, refusal end
  return {
    incarnation = found, status = status, counters = counters, settings = settings, has_parts = has_parts, part = part,
    totals = parse_part_totals(totals), batches = batches, now_ms = now_ms, now_us = now_us, ancestor_keys = ancestor_keys,
    freed_lease = freed_lease,
  }
end
