-- Takes a batch into the transcript: counted, limited, pinned, pushed, capped; remembered, the session's life extended.
-- `known`: life, status, counts, rules, limits, aside, records; lenient = no limit ends the session. It is told over = one did. `entries`: '<kind><flags><tokens> <batch> <payload>',
-- of which the first `ahead` came from the inbox; the time is put before each.
-- Returns 'first last rev count dropped limit-state', first and last of the others if there are others; or the refusal, second.
local function take(session, messages, known, entries, ops, batch, now, ahead)
  local rev, last, dropped, users, assistants, turns, pending, bytes, tokens, number = string.match(known[3],
    '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)')
  local cap, policy, max_bytes, ttl, deadline = string.match(known[4], '^(%d+) (%S+) (%d+) (%d+) (%S+)$')
  local pins, head, cap, max_bytes = 0, #batch + 1, cap + 0, max_bytes + 0
  for at, entry in ipairs(entries) do
    local space = string.find(entry, ' ', 3, true)
    local kind, flag = string.byte(entry, 1, 2)
    if at > ahead and #entry - space - head > max_bytes then
      return nil, redis.error_reply('TOO_LARGE ' .. #entry - space - head .. ' ' .. max_bytes)
    end
    if kind == 117 then -- u
      users, pending = users + 1, 1
    elseif kind == 97 then -- a
      assistants, turns, pending = assistants + 1, turns + pending, 0
    end
    pins = pins + flag % 2
    bytes, tokens = bytes + #entry + 13, tokens + string.sub(entry, 3, space - 1)
    entries[at] = now .. entry
  end
  local first, state, refusal = last + 1, 'ok', nil
  rev, last, number = rev + 1, last + #entries, number + 1
  if pins > 0 then
    --- include: pin
    pins, refusal = pin(session, pins, cap)
  end
  if known[5] and not refusal then
    --- include: counts extend change check finish overspent admit
    local limits = known.lenient and string.gsub(known[5], 'end_session$', 'error') or known[5]
    state, refusal = admit(session, messages, now, known[4], limits, known[3], turns + pending, turns + 0, last)
    known.over = refusal and string.find(limits, 'end_session$')
  end
  if refusal then return nil, refusal end
  local count = push(messages, entries)
  if count ~= last - dropped then
    redis.call('DEL', session, messages)
    return nil, redis.error_reply('NOT_FOUND its messages were evicted')
  end
  if pins > 0 then redis.call('HSET', session, 'pins', pins) end
  local aside = 0
  if known[6] or (cap > 0 and count > cap) or (first > 1 and count == #entries) then
    --- include: cut words shed trim
    local gone_bytes, gone_tokens
    count, dropped, aside, gone_bytes, gone_tokens = trim(session, messages, count, dropped, known[6] or '', cap, policy)
    bytes, tokens = bytes - gone_bytes, tokens - gone_tokens
  end
  local result = string.format('%d %d %d %d %d %s',
    ahead < #entries and first + ahead or first, last, rev, count + aside, dropped - aside, state)
  local counts = string.format('%d %d %d %d %d %d %d %d %d %d %s',
    rev, last, dropped, users, assistants, turns, pending, bytes, tokens, number, now .. micros)
  redis.call('HSET', session, 'counts', counts, ops, remember(known[7] or '', batch, number, result))
  expire(session, messages, now, ttl, deadline)
  return result
end
