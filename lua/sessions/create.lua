-- Create a session. A session that lost its messages is replaced. The same incarnation twice is the same creation, repeated.
-- Returns {1, incarnation}, or {0, incarnation, settings, limits, tree_limits, budget, max_tokens, max_inbox, created} of the
-- existing one.
-- Errors: SESSION_EXISTS
-- Index: none (the session is entered before)
--- include: tail find_intact_session touch_for_wait read_option_fields read_clock create_session
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- of the new session
local on_existing = ARGV[2]           -- 'error' or 'return'
local caps        = ARGV[3]           -- '<max_messages> <cap_policy> <max_message_bytes>'
local ttl_ms      = tonumber(ARGV[4]) -- idle life, or 0
local lifetime_ms = tonumber(ARGV[5]) -- whole life, or 0
local fields      = tail(ARGV, 6)     -- name, value, … as the storage reference lists them

local found, is_torn = find_intact_session(session, messages)
if found == incarnation then
  touch_for_wait(session, incarnation)
  return {1, incarnation}
end
if found and on_existing == 'return' then
  local options = read_option_fields(session)
  table.insert(options, 1, found)
  table.insert(options, 1, 0)
  return options
end
if found then return redis.error_reply('SESSION_EXISTS ' .. found) end
if is_torn then redis.call('DEL', session) end
local now_ms, now_us = read_clock()
create_session(session, messages, now_ms, now_us, incarnation, caps, ttl_ms, lifetime_ms, fields)
return {1, incarnation}
