-- Changes a session's status. An ended session stays as it ended; the same status again changes nothing. What waits in the
-- inbox is taken into the transcript before the end, unless a limit refuses it. An end counts in the session's tree, goes to
-- its parent as a message, and ends its children as they were told to. A cancellation is of all that are below it.
-- Returns {life, 'rev', {'<number> <id>' …}}: members that are cancelled and are still to be marked so, 400 at the most.
-- Errors: NOT_FOUND REPLACED LOCKED LEASE_LOST REVISION TRANSITION NOT_ACTIVE CHAIN TOO_LARGE
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer finish
--- include: look report conclude close
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local batch    = ARGV[2]       -- batch id
local lease    = ARGV[3]       -- 'fence nonce' of the lease it is made under, '' for none, or '-' for an order that needs none
local expected = ARGV[4]       -- the rev that must be current, or ''
local status   = ARGV[5]       -- the new one
local reason   = ARGV[6]       -- why, or ''
local result   = ARGV[7]       -- JSON, or ''

local found = redis.call('HMGET', session, 'life', 'status', 'counts', 'children', 'place', 'finished')
local root = family[#family - 1] or session
if not found[1] and family[1] then -- deleted with its end, which its parent remembers
  local before = recall(redis.call('HGET', family[1], bucket(batch)) or '', batch)
  if before then return {life, before, {}} end
end
local function still_to_mark()
  if not found[4] and not found[5] then return {} end
  --- include: members below
  return below(root, 400)
end
local over, unnamed = belong(family, found[5])
if unnamed then return over end
if (found[2] == status or (over and status == 'cancelled')) and (life == '' or life == found[1]) then
  mark(session, found[1])
  if found[6] and (found[4] or found[5]) then -- a limit may have ended it, which its tree does not know yet
    local now = clock()
    conclude(session, messages, family, now, status, report(session, family, now, status, '', ''))
  end
  return {found[1], counts(found[3]).rev .. ' ', still_to_mark()}
end
if found[6] then lease = '-' end -- what has ended is told so, whoever holds its lease
local known, told = guard(session, family, life, lease, expected, batch)
if not known then return told end
if known[4] ~= 'active' and known[4] ~= 'paused' then
  return redis.error_reply('TRANSITION ' .. known[4] .. ' ' .. status)
end
if status == 'active' or status == 'paused' then
  finish(session, known.now, status, reason)
  return answer(session, messages, known, batch, '')
end
local reply, refusal = close(session, messages, family, known.now, batch, status, reason, result)
if refusal then return refusal end
if known.lapsed and redis.call('EXISTS', session) == 1 then redis.call('HSET', session, 'lease', known.lapsed) end
reply[3] = still_to_mark()
return reply
