-- Deletes a session with everything it owns, and wakes those who wait for its lease. Needs no lease; a lost one is refused.
-- While there are sessions below it, it is only cancelled: they are to be deleted first (trees/sweep). A child that had not
-- ended counts as cancelled in its tree.
-- Returns {whether it was there, its number, {'<number> <id>' …}}: members to be deleted first, 400 at the most.
-- Errors: REPLACED LEASE_LOST CHAIN
--- include: rest fence tell tell_all clock belong members subtree part
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local lease    = ARGV[2]       -- 'fence nonce' of the lease it is made under, or '-'

local known = redis.call('HMGET', session, 'life', 'lease', 'line', 'place', 'children', 'joiners')
if not known[1] then return {0, '', {}} end
if life ~= '' and known[1] ~= life then return redis.error_reply('REPLACED ' .. known[1]) end
local unknown, unnamed = belong(family, known[4])
if unnamed then return unknown end
local refusal = fence(known[2], lease, 0)
if refusal then return refusal end
local root, number = family[#family - 1] or session, string.match(known[4] or '0', '^%d+')
if known[5] then
  local left = subtree(root, number, 400)
  if #left > 0 then
    part(root, number, true, 'deleted')
    return {1, number, left}
  end
end
if known[4] then
  --- include: bucket recall remember expire extend identify look report depart deliver
  local now = clock()
  local told = report(session, family, now, 'cancelled', 'deleted', '')
  if told[4] then
    depart(root, family[1], number, 'deleted', now)
    deliver(family, told[4], told[5], now)
  end
end
redis.call('DEL', session, messages)
tell_all(known[3], 'ask', 0, 0)
return {1, number, {}}
