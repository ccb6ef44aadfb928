-- Appends a batch of messages to a session: all of it or none, capped, counted, its life extended.
-- A batch id among the session's last 64 returns its first result and writes nothing.
-- A message comes as '<kind><flags><tokens> <batch id> <payload>'; the server's time is put before it.
-- Returns 'life duplicate first last rev count dropped limit-state'.
-- Errors: NOT_FOUND REPLACED NOT_ACTIVE REVISION REGRESSED UNSETTLED TOO_LARGE LIMIT
--- include: rest clock bucket recall remember push expire
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local batch    = ARGV[2]           -- batch id
local expected = ARGV[3]           -- the rev that must be current, or ''
local seen     = tonumber(ARGV[4]) -- the highest seq the caller was told, or 0
local elapsed  = ARGV[5]           -- ms since this was first tried, or '' when it was not
local entries  = rest(ARGV, 6)     -- messages
local ops = bucket(batch)
local known = redis.call('HMGET', session, 'life', 'status', 'counts', 'rules', 'limits', 'aside', ops)
local found, records = known[1], known[7] or ''
if not found or (life ~= '' and life ~= found) then
  --- include: identify
  return identify(found, life)
end
local before = recall(records, batch)
if before then return found .. ' 1 ' .. before end
local rev, last, dropped, users, assistants, turns, pending, bytes, tokens, number = string.match(known[3],
  '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)')
local now = clock()
if elapsed ~= '' then
  --- include: settle
  before = settle(messages, found, batch, elapsed, now, rev, last, dropped, number)
  if before then return before end
end
if known[2] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[2]) end
if expected ~= '' and expected ~= rev then return redis.error_reply('REVISION ' .. rev) end
if last + 0 < seen then return redis.error_reply('REGRESSED ' .. last .. ' ' .. seen) end
local cap, policy, max_bytes, ttl, deadline = string.match(known[4], '^(%d+) (%S+) (%d+) (%d+) (%S+)$')
local head, pins, cap, max_bytes = #batch + 1, 0, cap + 0, max_bytes + 0
for at, entry in ipairs(entries) do
  local space = string.find(entry, ' ', 3, true)
  local kind, flag = string.byte(entry, 1, 2)
  local size = #entry - space - head
  if size > max_bytes then return redis.error_reply('TOO_LARGE ' .. size .. ' ' .. max_bytes) end
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
  --- include: counts extend change check finish admit
  state, refusal = admit(session, messages, now, known[4], known[5], known[3], turns + pending, turns + 0, last)
end
if refusal then return refusal end
local count = push(messages, entries)
if count ~= last - dropped then
  redis.call('DEL', session, messages)
  return redis.error_reply('NOT_FOUND its messages were evicted')
end
if pins > 0 then redis.call('HSET', session, 'pins', pins) end
local aside = 0
if known[6] or (cap > 0 and count > cap) or (first > 1 and count == #entries) then
  --- include: cut words trim
  local gone_bytes, gone_tokens
  count, dropped, aside, gone_bytes, gone_tokens = trim(session, messages, count, dropped, known[6] or '', cap, policy)
  bytes, tokens = bytes - gone_bytes, tokens - gone_tokens
end
local result = string.format('%d %d %d %d %d %s', first, last, rev, count + aside, dropped - aside, state)
local counts = string.format('%d %d %d %d %d %d %d %d %d %d %s',
  rev, last, dropped, users, assistants, turns, pending, bytes, tokens, number, now)
redis.call('HSET', session, 'counts', counts, ops, remember(records, batch, number, result))
expire(session, messages, now, ttl, deadline)
return found .. ' 0 ' .. result
