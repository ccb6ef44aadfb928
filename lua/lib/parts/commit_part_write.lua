-- Store the changes of a write to a part, and extend the session's life. `is_activity` moves the session's updated time, too. The
-- session's revision stays.
--- include: format_part_totals parse_counters format_counters extend_session extend_ancestors extend_parts end_expired_lease
local function commit_part_write(session, messages, parts, part_names, write, is_activity)
  redis.call('HSET', parts, 'totals', format_part_totals(write.totals))
  if is_activity then
    local counters = parse_counters(write.counters)
    counters.updated_us = write.now_us
    redis.call('HSET', session, 'counters', format_counters(counters))
  end
  extend_session(session, messages, write.now_ms, write.settings)
  extend_ancestors(write.ancestor_keys, write.now_ms)
  extend_parts(session, parts, part_names)
  end_expired_lease(session, write)
end
