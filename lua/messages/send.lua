-- Sends a message to a session. While another holds its lease the message waits in the inbox; else it is appended, behind
-- whatever still waits there. A batch id among the session's last 64 returns its first result and changes nothing.
-- Returns 'life duplicate first last rev count dropped limit-state', or 'life duplicate queued <messages waiting>'.
-- Errors: CHAIN NOT_FOUND REPLACED NOT_ACTIVE LEASE_LOST UNSETTLED TOO_LARGE LIMIT
--- include: rest clock bucket recall remember push expire extend uphold identify look mark settle fence belong take
--- include: waiting drain note post
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- batch id
local lease    = ARGV[3] -- 'fence nonce' of the lease it is sent under, or ''
local elapsed  = ARGV[4] -- ms since this was first tried, or '' when it was not
local entry    = ARGV[5] -- '<kind><flags><tokens> <batch id> <payload>'

local ops = bucket(batch)
local known, refusal = look(session, life, ops)
if refusal then return refusal end
local before = recall(known[7] or '', batch)
if before then
  mark(session, known[1])
  return known[1] .. ' 1 ' .. before
end
local now = clock()
local first, last = string.match(known[10] or '1 0', '(%d+) (%d+)')
if elapsed ~= '' then
  for _, other in ipairs(waiting(session, known[10])) do
    if string.match(other, ' (%S+)') == batch then
      mark(session, known[1])
      return string.format('%s 1 queued %d', known[1], last - first + 1)
    end
  end
  before = settle(messages, known, batch, elapsed, now)
  if before then
    mark(session, known[1])
    return before
  end
end
if known[2] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[2]) end
refusal = belong(family, known[12])
if refusal then return refusal end
local held, lapsed = fence(known[8], lease, now)
if held and lease ~= '' then return held end
if held then
  local size = #entry - string.find(entry, ' ', 3, true) - #batch - 1
  local most, count = string.match(known[4], '^%d+ %S+ (%d+)') + 0, last - first + 2
  if size > most then return redis.error_reply('TOO_LARGE ' .. size .. ' ' .. most) end
  if count > known[11] + 0 then
    return redis.error_reply(string.format('LIMIT inbox %d %s error', count, known[11]))
  end
  count = post(session, messages, known, entry, ops, batch, now)
  uphold(family, now)
  return string.format('%s 0 queued %d', known[1], count)
end
if lease ~= '' then known[10] = nil end
local result, told = drain(session, messages, known, {entry}, ops, batch, now)
if known.over then
  --- include: counts finish finale
  finale(session, messages, family, now)
end
if not result then return told end
if lapsed then redis.call('HSET', session, 'lease', lapsed) end
uphold(family, now)
return string.format('%s 0 %s', known[1], result)
