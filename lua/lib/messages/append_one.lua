-- Append one message to a session on the short way that most appends take. The function calls few others and defines none,
-- because most calls spend their server time here. For the same reason it compares bytes and flags as numbers, which
-- message_header.lua explains. The message may make or answer calls, and the cap may keep a task outside of the list. `time` is
-- the reply of TIME. The result is recorded by the message and by `mark` in `recent`, see find_recent; or under `field`, behind
-- `results`. Return the seq, the revision, and how many messages are retained; or nil when append_entries must append or refuse
-- the message.
--- include: split_counters split_settings encode_time
local function append_one(session, messages, counters, settings, layout, entry, batch, seen, time, recent, mark, field, results)
  local max_messages, cap_policy, max_bytes, ttl_ms, deadline_ms = split_settings(settings)
  local seq, count, bytes, tokens, users, assistants, turns, pending_turn, user_back, now_us, rev_ahead, operations_ahead, plain_after =
    split_counters(counters)
  seq, count, max_messages, now_us = seq + 1, count + 1, max_messages + 0, time[1] * 1000000 + time[2]
  local now_ms = (now_us - now_us % 1000) / 1000
  if seq <= seen or #entry > max_bytes + 0 or (deadline_ms ~= '-' and deadline_ms - now_ms < 100) then return end
  local kind, flags = string.byte(entry, 1, 2)
  local kept, task, new_layout = 0, 0, layout
  if layout or flags > 65 then
    --- include: group_call
    entry, new_layout, kept, task = group_call(entry, seq, layout)
    if not entry then return end
    flags = string.byte(entry, 2)
  end
  -- When the messages of the last 64 appends do not stay, or are long to read, results are recorded.
  if (max_messages > 0 and max_messages - kept < 68) or #entry > 16384 then
    if recent ~= '' then return end
    recent = nil
  end
  if kind == 117 and flags % 8 < 2 then user_back = '0' else user_back = user_back + 1 end -- u
  local dropped, excess, popped, heads = seq - count, count + kept - max_messages, 0, nil
  if excess > 0 and max_messages > 0 then -- trim_transcript has all rules: here few messages leave, all of them plain
    if excess > 2 or max_messages == 1 or cap_policy == 'turn' then return end
    local user_index = seq - user_back - dropped -- from 1
    if excess == 1 and count > 1 and task == 0 and plain_after + 0 <= dropped and user_index ~= 1 then
      popped = 1 -- a plain message leaves, and a plain message becomes the first
    else
      heads = redis.call('LRANGE', messages, 0, excess + 1)
      for at, head in ipairs(heads) do
        local head_kind, head_flags = string.byte(head, 9), string.byte(head, 10) or 0
        if at > excess and (head_flags % 8 < 4 or cap_policy == 'oldest') then -- the list may begin with this one
          if task == 0 or head_kind ~= 117 then popped = at - 1 end
          break
        end
        if head_flags % 2 > 0 or head_flags % 16 > 7 or (head_kind == 117 and user_index <= at) then break end -- it is kept
      end
      if popped == 0 then return end
    end
  end
  local message = encode_time(now_ms) .. (popped > 0 and popped or '0') .. entry
  if redis.call('RPUSH', messages, message) ~= count then
    redis.call('RPOP', messages) -- the list is not the one that was counted: append_entries refuses it
    return
  end
  bytes, tokens, count = bytes + #message, tokens + string.match(entry, '^%d+', 3), count - popped
  if heads then redis.call('LTRIM', messages, popped, -1) elseif popped > 0 then heads = {redis.call('LPOP', messages)} end
  for at = 1, popped do -- a damaged message can have any size
    bytes, tokens = math.max(bytes - #heads[at], 0), math.max(tokens - (string.match(heads[at], '^%d+', 11) or 0), 0)
  end
  if kind == 117 then -- u
    users, pending_turn = users + 1, 1
  elseif kind == 97 then -- a
    assistants, turns, pending_turn = assistants + 1, turns + pending_turn, 0
  end
  if flags ~= 64 then plain_after = seq end
  local rev = seq + rev_ahead
  -- Words that are joined cost a tenth of words that are formatted, and most of these stay as they are.
  counters = string.format('%d %d %d %d ', seq, count, bytes, tokens) .. users .. ' ' .. assistants .. ' ' .. turns .. ' ' ..
    pending_turn .. ' ' .. user_back .. string.format(' %x ', now_us) .. rev_ahead .. ' ' .. operations_ahead .. ' ' .. plain_after
  if recent then
    field, results = 'recent', #recent > 63 and string.sub(recent, -63) .. mark or recent .. mark
  else
    --- include: append_result
    results = append_result(results, batch, rev + operations_ahead,
      string.format('%d %d %d %d %d ok', seq, seq, rev, count + kept, seq - count - kept))
  end
  if new_layout == layout then
    redis.call('HSET', session, 'counters', counters, field, results)
  else
    redis.call('HSET', session, 'counters', counters, field, results, 'layout', new_layout)
  end
  if ttl_ms ~= '0' or deadline_ms ~= '-' then
    local at = ttl_ms ~= '0' and now_ms + ttl_ms or deadline_ms + 0
    if deadline_ms ~= '-' and deadline_ms + 0 < at then at = deadline_ms + 0 end
    at = string.format('%d', at)
    redis.call('PEXPIREAT', session, at)
    redis.call('PEXPIREAT', messages, at)
  end
  return seq, rev, count + kept
end
