-- Store a session's counters after a change: the revision grows, the updated time moves, the life is extended.
--- include: format_counters extend_session
local function save_counters(session, messages, now_ms, now_us, settings_text, counters)
  counters.rev = counters.rev + 1
  counters.updated_us = now_us
  redis.call('HSET', session, 'counters', format_counters(counters))
  local recent = redis.call('HGET', session, 'recent')
  if recent then redis.call('HSET', session, 'recent', string.sub(recent .. '\0', -64)) end -- no append made this revision
  extend_session(session, messages, now_ms, settings_text)
end
