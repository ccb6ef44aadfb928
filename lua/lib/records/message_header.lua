-- The header of a stored message: '<time><left><kind><flags><tokens> <batch ID> [<facts> ]<payload>'. The time has 7 digits, see
-- encode_time. `left` is one digit: the messages that left the list when append_one appended this one. The flags are 64 and
-- 1: pinned, 2: has facts, 4: continues a group, 8: summary. The facts are '+<hash>' for a call that the message opens, '!' for
-- one that was abandoned, '-' for one that it closes, '?' for a result without an open call; and '~' if it binds the next.
-- No function that reads raises for an element that is damaged, because one message must not stop the cap of its session: a
-- damaged message has no flags and no tokens.
local function message_kind(message)
  return string.sub(message, 9, 9)
end

local function message_flags(message)
  return string.byte(message, 10) or 0
end

local function is_pinned(message)
  return (string.byte(message, 10) or 0) % 2 == 1
end

-- Return whether a transcript may begin with the message.
local function starts_group(message)
  return (string.byte(message, 10) or 0) % 8 < 4
end

-- Return whether the message begins a turn: a user message that starts a group and has no results of calls.
local function begins_turn(message)
  return string.byte(message, 9) == 117 and (string.byte(message, 10) or 0) % 8 < 2 -- u
end

-- Return whether the cap must keep the message: it is pinned, or a summary.
local function is_kept(message)
  local flags = string.byte(message, 10) or 0
  return flags % 2 == 1 or flags % 16 >= 8
end

local function message_tokens(message)
  return (string.match(message, '^%d+', 11) or 0) + 0
end

local function message_batch(message)
  return string.match(message, '^%d+ (%S+)', 11)
end

-- Return the facts, '' when there are none.
local function message_facts(message)
  return (string.byte(message, 10) or 0) % 4 > 1 and string.match(message, '^%d+ %S+ (%S+)', 11) or ''
end

local function set_facts(message, facts, new_facts)
  local at = string.find(message, ' ', string.find(message, ' ', 11, true) + 1, true)
  return string.sub(message, 1, at) .. new_facts .. string.sub(message, at + #facts + 1)
end

local function set_flags(message, flags)
  if string.byte(message, 10) == flags then return message end
  return string.sub(message, 1, 9) .. string.char(flags) .. string.sub(message, 11)
end
