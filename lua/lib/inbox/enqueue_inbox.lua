-- Put a message into a session's inbox, behind the messages that wait there. `loaded` is what load_session returns. `results` is
-- 1 for the result of a child, which takes no room of senders, else 0. Return how many messages wait.
--- include: parse_inbox format_inbox record_result extend_session
local function enqueue_inbox(session, messages, loaded, entry, field, batch, now_ms, results)
  local inbox = parse_inbox(loaded.inbox)
  inbox.last, inbox.results = inbox.last + 1, inbox.results + results
  redis.call('HSET', session, string.format('inbox.%d', inbox.last), entry, 'inbox', format_inbox(inbox))
  if results == 0 then redis.call('HINCRBY', session, 'inbox_bytes', #entry) end
  record_result(session, loaded.counters, field, loaded.results, batch, string.format('queued %d', inbox.size + 1))
  extend_session(session, messages, now_ms, loaded.settings)
  return inbox.size + 1
end
