-- Store what an edit without messages changed, and record its result under its operation ID. `first` is the seq of what was
-- removed. Return the result.
--- include: save_layout save_counters results_field append_result
local function commit_edit(session, messages, write, layout, operation, kind, first, abandoned_count)
  local counters = write.counters
  save_layout(session, layout)
  counters.operations = counters.operations + 1
  save_counters(session, messages, write.now_ms, write.now_us, write.settings, counters)
  local result = kind .. string.format('%d %d %d %d %d abandoned %d ok', first, counters.last_seq, counters.rev,
    counters.last_seq - counters.dropped + layout.kept, counters.dropped - layout.kept, abandoned_count)
  redis.call('HSET', session, results_field(operation), append_result(write.results, operation, counters.operations, result))
  return result
end
