-- Move the inbox of a session that ends, or has ended, into its transcript, unless a limit refuses it. Return the session as it
-- was loaded, the request to repeat the call when the inbox is long, and the messages that moved.
--- include: results_field load_session drain_inbox
local function drain_for_end(session, messages, operation, now_ms, now_us)
  operation = operation .. '.inbox'
  local field = results_field(operation)
  local loaded = load_session(session, '', field)
  loaded.opens_no_turn, loaded.never_ends = true, true
  if not loaded.inbox then return loaded, nil, {} end
  local result, entries, again = drain_inbox(session, messages, loaded, {}, field, operation, now_ms, now_us)
  return loaded, again, result and entries or {}
end
