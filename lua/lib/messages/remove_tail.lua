-- Remove the messages above a seq, which plan_truncation found, and tell the watchers. Without the messages above seq 0 the
-- transcript begins again.
--- include: record_recent results_field apply_truncation log_change
local function remove_tail(session, messages, write, layout, operation, after_seq, staying, going, unpinned)
  write.results = record_recent(session, messages, write.recent, results_field(operation), write.results)
  apply_truncation(session, messages, layout, staying, going, unpinned)
  if after_seq == 0 then
    redis.call('HSET', session, 'cleared', string.format('%.0f', write.counters.last_seq))
    redis.call('HDEL', session, 'pins')
  end
  log_change(session, write.now_ms, string.format('edited:%d', after_seq + 1))
end
