-- Appends a batch of messages to a session: all of it or none, capped, counted, its life extended.
-- A batch id among the session's last 64 returns its first result and writes nothing.
-- A message comes as '<kind><flags><tokens> <batch id> <payload>'; the server's time is put before it.
-- Returns {duplicate, life, 'first last rev count dropped limit-state'}.
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
local found = known[1]
if not found or (life ~= '' and life ~= found) then
  --- include: identify
  return identify(found, life)
end
local records = known[7] or ''
local before = recall(records, batch)
if before then return {1, found, before} end
local rev, last, dropped, users, assistants, turns, pending, bytes, tokens, number = string.match(known[3],
  '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)')
local now = clock()
if elapsed ~= '' then
  --- include: settle
  local first, final = settle(messages, batch, last + 0, dropped + 0, now, elapsed)
  if first then return {1, found, string.format('%.0f %.0f %s %.0f %s ok', first, final, rev, last - dropped, dropped)} end
  if not final and number + 0 > 64 and dropped + 0 > 0 then return redis.error_reply('UNSETTLED ' .. batch) end
end
if known[2] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[2]) end
if expected ~= '' and expected ~= rev then return redis.error_reply('REVISION ' .. rev) end
if last + 0 < seen then return redis.error_reply('REGRESSED ' .. last .. ' ' .. seen) end

local cap, policy, max_bytes, ttl, deadline = string.match(known[4], '^(%d+) (%S+) (%d+) (%d+) (%S+)$')
local head, pins = #batch + 1, 0
cap, max_bytes = cap + 0, max_bytes + 0
for at, entry in ipairs(entries) do
  local space = string.find(entry, ' ', 3, true)
  local kind, flag = string.byte(entry, 1, 2)
  if #entry - space - head > max_bytes then
    return redis.error_reply(string.format('TOO_LARGE %.0f %.0f', #entry - space - head, max_bytes))
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
if pins > 0 then
  pins = pins + (redis.call('HGET', session, 'pins') or 0)
  if cap > 0 and pins > cap / 2 then
    return redis.error_reply(string.format('LIMIT pinned %.0f %.0f error', pins, cap / 2))
  end
end
local first, state, refusal = last + 1, 'ok', nil
rev, last, number = rev + 1, last + #entries, number + 1
if known[5] then
  --- include: counts extend change check finish admit
  state, refusal = admit(session, messages, now, known[4], known[5], known[3], turns + pending, turns + 0, last)
  if refusal then return refusal end
end

local count = #entries == 1 and redis.call('RPUSH', messages, entries[1]) or push(messages, entries)
if count ~= last - dropped then
  redis.call('DEL', session, messages)
  return redis.error_reply('NOT_FOUND its messages were evicted')
end
if pins > 0 then redis.call('HSET', session, 'pins', pins) end
local aside = known[6] and select(2, string.gsub(known[6], '%d+', '')) or 0
local excess = cap > 0 and math.max(count + aside - cap, 0) or 0
if excess > 0 or (first > 1 and count == #entries) then
  --- include: cut words trim
  local leaving, less_bytes, less_tokens
  local seqs = known[6] or ''
  repeat -- a pinned message that moves aside still counts, so another leaves for it
    leaving, less_bytes, less_tokens, seqs = trim(session, messages, count, excess, policy, dropped, seqs)
    count, dropped, bytes, tokens = count - leaving, dropped + leaving, bytes - less_bytes, tokens - less_tokens
    aside = words(seqs)
    excess = count + aside - cap
  until cap == 0 or excess <= 0
end
local result = first .. ' ' .. last .. ' ' .. rev .. ' ' .. count + aside .. ' ' .. dropped - aside .. ' ' .. state
redis.call('HSET', session, 'counts', rev .. ' ' .. last .. ' ' .. dropped .. ' ' .. users .. ' ' .. assistants .. ' ' ..
  turns .. ' ' .. pending .. ' ' .. bytes .. ' ' .. tokens .. ' ' .. number .. ' ' .. now,
  ops, remember(records, batch, number, result))
expire(session, messages, now, ttl, deadline)
return {0, found, result}
