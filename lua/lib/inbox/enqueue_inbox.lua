-- Put a message into a session's inbox, behind the messages that wait there. `loaded` is what load_session returns. Return how
-- many messages wait.
--- include: parse_inbox format_inbox record_result extend_session
local function enqueue_inbox(session, messages, loaded, entry, field, batch, now_ms)
  local inbox = parse_inbox(loaded.inbox)
  inbox.last = inbox.last + 1
  redis.call('HSET', session, string.format('inbox.%d', inbox.last), entry, 'inbox', format_inbox(inbox))
  record_result(session, loaded.counters, field, loaded.results, batch, string.format('queued %d', inbox.size + 1))
  extend_session(session, messages, now_ms, loaded.settings)
  return inbox.size + 1
end
