-- Return the result of an operation that was done before, recorded or found by its message; or nil. `results` is the field of the
-- operation's results, `recent` the field with this name.
--- include: find_result find_recent
local function find_before(session, messages, results, recent, operation)
  return find_result(results or '', operation) or find_recent(session, messages, recent, operation)
end
