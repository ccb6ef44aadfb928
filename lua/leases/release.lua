-- Releases a lease, or withdraws from its line: takes the inbox into the transcript and hands the lease to the first in
-- line. An inbox that a limit or the session's end refuses stays as it is.
-- Returns {life, result of the messages that were taken as append has it, or ''}; released again, the same.
-- Errors: CHAIN NOT_FOUND REPLACED LEASE_LOST
--- include: rest clock bucket recall remember push expire extend uphold identify look mark fence belong take
--- include: waiting drain note tell leave grant hand_over
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- the lease's nonce, or an id of its own for an order
local lease    = ARGV[3] -- 'fence nonce'; '-' whoever has it, 'fence *' if it is that one; '* nonce' to withdraw

local ops = bucket(batch)
local known, refusal = look(session, life, ops)
if refusal then return refusal end
local before = recall(known[7] or '', batch)
if before then
  mark(session, known[1])
  return {known[1], before}
end
local now, result = clock(), nil
local number, nonce = string.match(known[8] or '0 -', '^(%d+) (%S+)')
if lease == '* ' .. batch then
  if nonce ~= batch then
    if known[9] then redis.call('HSET', session, 'line', leave(known[9], batch)) end
    return {known[1], ''}
  end
  lease = '-'
  if string.find(batch, '^run%.') then -- a claim that nobody took up is no attempt
    local attempt, others = string.match(redis.call('HGET', session, 'run') or '1 -', '^(%d+) (.*)$')
    redis.call('HSET', session, 'run', string.format('%d %s', attempt - 1, others))
  end
end
if lease == number .. ' *' and nonce ~= '-' then lease = '-' end
refusal = fence(known[8], lease, now)
if refusal then return refusal end
local over, unnamed = belong(family, known[12])
if unnamed then return over end
if known[2] == 'active' and known[10] and not over then
  result, refusal = drain(session, messages, known, {}, ops, batch, now)
  if known.over then
    --- include: counts finish finale
    finale(session, messages, family, now)
  end
  known[3] = redis.call('HGET', session, 'counts')
  if not known[3] then return refusal or {known[1], ''} end
end
if not result then
  result = ''
  note(session, known[3], ops, known[7], batch, result)
end
hand_over(session, number, known[9] or '', now)
uphold(family, now)
return {known[1], result}
