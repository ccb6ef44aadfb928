-- Deletes a session with everything it owns, and wakes those who wait for its lease. Needs no lease; a lost one is refused.
-- In a tree that is a cancellation first, with all that follows from one; while there are sessions below it, that is all:
-- they are to be deleted (trees/sweep), then this again.
-- Returns {whether it was there, its number, {'<number> <id>' …}}: members to be deleted first, 400 at the most.
-- Errors: REPLACED LEASE_LOST CHAIN
--- include: rest fence tell tell_all clock belong members subtree
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local lease    = ARGV[2]       -- 'fence nonce' of the lease it is made under, or '-'
local updated  = ARGV[3]       -- the time of its last update, or '': one that moved on or is in use is left as it is

local known = redis.call('HMGET', session, 'life', 'lease', 'line', 'place', 'children', 'readers', 'counts', 'tree')
if not known[1] then return {0, '', {}} end
if life ~= '' and known[1] ~= life then return redis.error_reply('REPLACED ' .. known[1]) end
if updated ~= '' then
  local holder, till = string.match(known[2] or '0 - 0', '^%d+ (%S+) (%d+)')
  local is_held = holder ~= '-' and till - clock() > 0
  local has_active = string.match(known[8] or '0 0', '%d+$') ~= '0'
  if is_held or has_active or string.match(known[7], '%d+$') ~= updated then return {0, '', {}} end
end
local unknown, unnamed = belong(family, known[4])
if unnamed then return unknown end
local refusal = fence(known[2], lease, 0)
if refusal then return refusal end
local root, number = family[#family - 1] or session, string.match(known[4] or '0', '^%d+')
if known[4] or known[5] then
  --- include: bucket recall remember expire extend identify finish look report conclude
  local now = clock()
  conclude(session, messages, family, now, 'cancelled', (report(session, family, now, 'cancelled', 'deleted', '')))
  local left = known[5] and subtree(root, number, 400) or {}
  if #left > 0 then return {1, number, left} end
end
if known[6] then
  --- include: rouse
  rouse(session, known[6], clock(), 'gone', '0 0')
end
redis.call('DEL', session, messages)
tell_all(known[3], 'ask', 0, 0)
return {1, number, {}}
