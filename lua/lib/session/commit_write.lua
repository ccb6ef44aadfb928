-- Store the changes of a guarded write, record its result under its operation ID, and return {incarnation, '<rev> <result>'}.
--- include: end_expired_lease save_counters extend_ancestors results_field append_result
local function commit_write(session, messages, write, operation, result)
  local counters = write.counters
  counters.operations = counters.operations + 1
  save_counters(session, messages, write.now_ms, write.now_us, write.settings, counters)
  extend_ancestors(write.ancestor_keys, write.now_ms)
  result = result == '' and tostring(counters.rev) or counters.rev .. ' ' .. result
  redis.call('HSET', session, results_field(operation),
    append_result(write.results, operation, counters.operations, result))
  end_expired_lease(session, write)
  return {write.incarnation, result}
end
