-- Record the result of an operation that leaves the revision and the content of the session as they are.
--- include: parse_counters format_counters append_result
local function record_result(session, counters_text, field, results, operation, result)
  local counters = parse_counters(counters_text)
  counters.operations = counters.operations + 1
  redis.call('HSET', session, 'counters', format_counters(counters),
    field, append_result(results or '', operation, counters.operations, result))
end
