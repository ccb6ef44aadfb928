-- Takes what waits in the inbox into the transcript, for the holder of the lease: once, in order, all or none.
-- Returns {life, seq of the first, messages}; the same batch id again returns the same, as far as it is retained.
-- Errors: CHAIN NOT_FOUND REPLACED LEASE_LOST NOT_ACTIVE LIMIT
--- include: rest clock bucket recall remember push expire extend uphold identify look mark fence belong
--- include: take waiting drain
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- batch id
local lease    = ARGV[3] -- 'fence nonce' of the lease

local ops = bucket(batch)
local known, refusal = look(session, life, ops)
if refusal then return refusal end
local result, entries = recall(known[7] or '', batch), nil
if result then
  local first, last = string.match(result, '^(%d+) (%d+)')
  local dropped = string.match(known[3], '^%d+ %d+ (%d+)')
  mark(session, known[1])
  if last - dropped <= 0 then return {known[1], 0, {}} end
  first = math.max(first, dropped + 1)
  return {known[1], first, redis.call('LRANGE', messages, first - dropped - 1, last - dropped - 1)}
end
local now = clock()
refusal = belong(family, known[12]) or fence(known[8], lease, now)
if refusal then return refusal end
if known[2] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[2]) end
if not known[10] then return {known[1], 0, {}} end
result, entries = drain(session, messages, known, {}, ops, batch, now)
if known.over then
  --- include: counts finish finale
  finale(session, messages, family, now)
end
if not result then return entries end
uphold(family, now)
return {known[1], string.match(result, '^%d+') + 0, entries}
