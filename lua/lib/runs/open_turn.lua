-- Open a turn of a session that an agent answers, for the messages that entered its transcript, unless a turn is open that can
-- still be claimed. User messages and tool results ask for an answer; with `asks_always` every message does. `loaded` is what
-- load_session returns, with `ancestor_keys` for a child. Set `loaded.is_turn_opened` if the turn was opened, and
-- `loaded.has_turn` if a turn is open in any case.
--- include: parse_run format_run count_waiting
local function open_turn(session, messages, loaded, entries, last_seq, now_ms, asks_always)
  local first_seq
  for at, entry in ipairs(entries) do
    local kind = string.byte(entry, 9)
    if asks_always or kind == 117 or kind == 116 then -- u, t
      first_seq = last_seq - #entries + at
      break
    end
  end
  local run = parse_run(loaded.run)
  if not first_seq or not run.turn then return end
  loaded.has_turn = true
  if run.turn > 0 and run.attempts < run.max_attempts + 0 then return end
  if run.turn == 0 then run.turn = first_seq else run.retries = run.retries + 1 end
  run.attempts, run.available_ms, run.has_died = 0, now_ms - 10^12, '0'
  redis.call('HSET', session, 'run', format_run(run))
  redis.call('HDEL', session, 'attempt_log')
  count_waiting(session, messages, loaded.ancestor_keys or {}, now_ms, 1)
  loaded.is_turn_opened = true
end
