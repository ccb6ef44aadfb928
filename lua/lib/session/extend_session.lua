-- Extend a session's life by its own settings, or by another ttl in ms.
--- include: parse_settings expire_session
local function extend_session(session, messages, now_ms, settings_text, ttl_ms)
  local settings = parse_settings(settings_text)
  expire_session(session, messages, now_ms, ttl_ms or settings.ttl_ms, settings.deadline_ms)
end
