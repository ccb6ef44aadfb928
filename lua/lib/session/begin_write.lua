-- Make the checks that every guarded write makes first. Return the write: {incarnation, status, counters (parsed), settings,
-- results, recent, now_ms, now_us, ancestor_keys, freed_lease}. Or return nil and the reply: the result of the same operation
-- before, with a third element that says so, or the refusal. An order (`is_order`) needs no lease, but a lease that it names
-- must be held.
--- include: results_field check_incarnation check_operation find_result touch_for_wait read_clock check_ancestors check_lease
--- include: parse_counters
local function begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation, is_order)
  local found, status, counters, settings, results, held, lineage, recent = unpack(redis.call('HMGET', session, 'incarnation',
    'status', 'counters', 'settings', results_field(operation), 'lease', 'lineage', 'recent'))
  local refusal = check_incarnation(found, incarnation) or check_operation(operation)
  if refusal then return nil, refusal end
  local before = find_result(results or '', operation)
  if before then
    touch_for_wait(session, found)
    return nil, {found, before, 1}
  end
  local now_ms, now_us = read_clock()
  refusal = check_ancestors(ancestor_keys, lineage)
  if refusal then return nil, refusal end
  local freed_lease
  if not is_order or lease ~= '' then
    refusal, freed_lease = check_lease(held, lease, now_ms)
    if refusal then return nil, refusal end
  end
  counters = parse_counters(counters)
  if expected_rev ~= '' and expected_rev + 0 ~= counters.rev then
    return nil, redis.error_reply(string.format('REVISION_CONFLICT %d', counters.rev))
  end
  return {
    incarnation = found, status = status, counters = counters, settings = settings, results = results or '',
    recent = recent or nil, now_ms = now_ms, now_us = now_us, ancestor_keys = ancestor_keys, freed_lease = freed_lease,
  }
end
