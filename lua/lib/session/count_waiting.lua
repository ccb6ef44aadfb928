-- Count a session that begins to wait (`delta` 1), or waits no longer (`delta` -1), for a worker, a time, children or its resume.
-- A session that waits does not expire by its idle ttl: it, and the root of its tree, live for at least 30 days from now. Both
-- hashes have a field `waits.<number>` for each session that waits, so that one counts once however often it is noted, and
-- `waiting`, the number of these fields. `idle_ttl` holds the ttl to which a hash returns when nothing waits any more. `number`
-- is that of the session in its tree, if it is known; else it is read.
--- include: parse_lineage mark_waiting expire_session
local function count_waiting(session, messages, ancestor_keys, now_ms, delta, number)
  number = number or parse_lineage(redis.call('HGET', session, 'lineage')).number
  local keys = {session, messages, ancestor_keys[#ancestor_keys - 1], ancestor_keys[#ancestor_keys]} -- the root's, if it has one
  for at = 1, #keys, 2 do
    local settings = mark_waiting(keys[at], number, delta)
    if settings then expire_session(keys[at], keys[at + 1], now_ms, settings.ttl_ms, settings.deadline_ms) end
  end
end
