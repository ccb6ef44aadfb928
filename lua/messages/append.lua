-- Appends a batch of messages to a session: all of it or none, capped, counted, its life extended.
-- A batch id among the session's last 64 returns its first result and changes nothing, whatever became of the lease.
-- A message comes as '<kind><flags><tokens> <batch id> <payload>'; the server's time is put before it.
-- Returns 'life duplicate first last rev count dropped limit-state'.
-- Errors: CHAIN NOT_FOUND REPLACED NOT_ACTIVE LOCKED LEASE_LOST REVISION REGRESSED UNSETTLED TOO_LARGE LIMIT
--- include: rest clock bucket recall remember push expire take
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local family   = rest(KEYS, 3)     -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local batch    = ARGV[2]           -- batch id
local lease    = ARGV[3]           -- 'fence nonce' of the lease it is written under, or ''
local expected = ARGV[4]           -- the rev that must be current, or ''
local seen     = tonumber(ARGV[5]) -- the highest seq the caller was told, or 0
local elapsed  = ARGV[6]           -- ms since this was first tried, or '' when it was not
local entries  = rest(ARGV, 7)     -- messages

local ops = bucket(batch)
local known = redis.call('HMGET', session, 'life', 'status', 'counts', 'rules', 'limits', 'aside', ops, 'lease', 'place',
  'readers')
local found, held = known[1], known[8]
if not found or (life ~= '' and life ~= found) then
  --- include: identify
  return identify(found, life)
end
local before = recall(known[7] or '', batch)
if before then
  --- include: mark
  mark(session, found)
  return found .. ' 1 ' .. before
end
local rev, last = string.match(known[3], '^(%d+) (%d+)')
local now = clock()
if elapsed ~= '' then
  --- include: settle
  before = settle(messages, known, batch, elapsed, now)
  if before then
    --- include: mark
    mark(session, found)
    return before
  end
end
if known[2] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[2]) end
local refusal, result, lapsed
if known[9] then
  --- include: belong
  refusal = belong(family, known[9])
  if refusal then return refusal end
end
if (held or lease ~= '') and (lease == '' or string.sub(held or '', 1, #lease) ~= lease) then
  --- include: fence
  refusal, lapsed = fence(held, lease, now)
  if refusal then return refusal end
end
if expected ~= '' and expected ~= rev then return redis.error_reply('REVISION ' .. rev) end
if last + 0 < seen then return redis.error_reply('REGRESSED ' .. last .. ' ' .. seen) end
if lapsed then -- what the holder did not receive comes first, unless a limit refuses it
  --- include: identify look waiting drain
  local seen = look(session, life, ops)
  result, refusal = drain(session, messages, seen, entries, ops, batch, now)
  known.over = seen.over
end
if not result and not known.over then
  result, refusal = take(session, messages, known, entries, ops, batch, now, 0)
end
if known.over and (known[9] or redis.call('HEXISTS', session, 'children') == 1) then
  --- include: counts identify fence extend finish look belong finale
  finale(session, messages, family, now)
end
if not result then return refusal end
if lapsed then redis.call('HSET', session, 'lease', lapsed) end
if known[9] then
  --- include: extend uphold
  uphold(family, now)
end
if known[10] and not lapsed then
  --- include: tell rouse tidings
  rouse(session, known[10], now, tidings(entries, last + #entries))
end
return found .. ' 0 ' .. result
