-- The session's counters, as texts in their stored order. The revision, the operations and the newest user message are stored relative
-- to other numbers, because an append of one message then leaves these words as they are. All but append_one use parse_counters.
local function split_counters(text)
  return string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) (%d+) (%w+) (%S+) (%S+) (%d+)$')
end

-- Return the counters of a session that was just created.
local function new_counters(now_us)
  return string.format('0 0 0 0 0 0 0 0 0 %x 0 0 0', now_us)
end
