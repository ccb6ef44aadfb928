-- A part of a session: its number, the first and the last of its seqs, its bytes and its times. `totals` is the record of all
-- parts: the numbers given so far, the parts, their messages and bytes, and the IDs that the session's own messages have.
local function parse_part(text)
  local number, first_seq, last_seq, bytes, created_ms, updated_ms = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  return {
    number = number + 0, first_seq = first_seq + 0, last_seq = last_seq + 0, bytes = bytes + 0, created_ms = created_ms + 0,
    updated_ms = updated_ms + 0,
  }
end

local function format_part(part)
  return string.format('%d %d %d %d %d %d', part.number, part.first_seq, part.last_seq, part.bytes, part.created_ms, part.updated_ms)
end

local function parse_part_totals(text)
  local numbers, parts, messages, bytes, ids = string.match(text or '0 0 0 0 0', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  return {numbers = numbers + 0, parts = parts + 0, messages = messages + 0, bytes = bytes + 0, ids = ids + 0}
end

local function format_part_totals(totals)
  return string.format('%d %d %d %d %d', totals.numbers, totals.parts, totals.messages, totals.bytes, totals.ids)
end
