-- Give an open session the status of the cancellation of its tree: its inbox enters the transcript, then the status is set. What the
-- end does in the tree is up to the caller. `inbox` is the record of the inbox, or false.
--- include: results_field load_session drain_inbox set_status save_counters parse_counters
local function end_as_cancelled(session, messages, inbox, reason, now_ms, now_us)
  if inbox then
    local operation = string.format('finalize.%d', now_ms)
    local results = results_field(operation)
    local loaded = load_session(session, '', results)
    loaded.never_ends, loaded.answered_by = true, nil
    drain_inbox(session, messages, loaded, {}, results, operation, now_ms, now_us)
  end
  local counters, settings = unpack(redis.call('HMGET', session, 'counters', 'settings'))
  if not counters then return end
  set_status(session, now_ms, 'cancelled', reason)
  save_counters(session, messages, now_ms, now_us, settings, parse_counters(counters))
end
