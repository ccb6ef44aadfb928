-- Return the session that a channel talks in, or form the next one when the current one has ended, is gone, or was idle for too
-- long. A session at work is not idle: its lease is held, a turn is open, or a child is active. The first caller decides: a
-- caller that knows another current session gets the current one, and asks again.
-- Returns {'current' or 'formed', incarnation}, {'other', ID of the current session}, or {'idle', its ID} when the next session
-- must be formed.
-- Index: none (the session is entered before)
--- include: tail read_clock parse_counters parse_lease parse_spawn_counts create_session parse_run
local channel     = KEYS[1]           -- string: the ID of its session
local current     = KEYS[2]           -- hash: the session that the caller knows; the next one, if it knows none
local session     = KEYS[3]           -- hash: the next session
local messages    = KEYS[4]           -- list
local known_id    = ARGV[1]           -- the ID of the session that the caller knows, or ''
local id          = ARGV[2]           -- of the next session
local may_form    = ARGV[3] == '1'    -- else the caller is only told that the next session must be formed
local incarnation = ARGV[4]           -- of the next session
local idle_ms     = tonumber(ARGV[5]) -- after which the current session is over
local caps        = ARGV[6]           -- '<max_messages> <cap_policy> <max_message_bytes>'
local ttl_ms      = tonumber(ARGV[7]) -- idle life, or 0
local lifetime_ms = tonumber(ARGV[8]) -- whole life, or 0
local keep_ms     = tonumber(ARGV[9]) -- to remember the current session
local fields      = tail(ARGV, 10)    -- name, value, … as the storage reference lists them

local current_id = redis.call('GET', channel) or ''
if current_id ~= known_id then return {'other', current_id} end
local now_ms, now_us = read_clock()
local found, status, counters, held, children, run
if current_id ~= '' then
  found, status, counters, held, children, run =
    unpack(redis.call('HMGET', current, 'incarnation', 'status', 'counters', 'lease', 'children', 'run'))
end
redis.call('SET', channel, current_id ~= '' and current_id or id, 'PX', keep_ms)
if found and (status == 'active' or status == 'paused') then
  local lease = parse_lease(held)
  local is_held = lease.nonce ~= '-' and lease.deadline_ms - now_ms > 0
  run = parse_run(run)
  local has_turn = run.turn and run.turn > 0 and run.attempts < run.max_attempts + 0
  local is_at_work = is_held or has_turn or parse_spawn_counts(children).active > 0
  if is_at_work or now_ms - parse_counters(counters).updated_us / 1000 <= idle_ms then return {'current', found} end
end
if not may_form then return {'idle', current_id} end
create_session(session, messages, now_ms, now_us, incarnation, caps, ttl_ms, lifetime_ms, fields)
local previous = current_id ~= '' and current_id or '-'
redis.call('HSET', session, 'formation', string.format('inactivity %d %s', idle_ms, previous))
redis.call('SET', channel, id, 'PX', keep_ms)
return {'formed', incarnation}
