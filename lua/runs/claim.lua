-- Claims a run: its lease, and one more attempt; or, without a nonce, looks after it. One whose time is over, or whose
-- attempts are used up, ends here; one that is gone leaves its tree. Whoever looks, each of that happens once.
-- Returns {life, 'claimed', fence, ms, attempt, attempts, task or '', look}, or {life, verdict, look}: ms until to look again: 'free'
-- (it waits for a worker), 'idle' (it waits for nobody), 'held' (somebody has its lease, or it is paused), 'cancelled' (over, and its tree is to be swept), 'over'.
-- Errors: CHAIN
--- include: rest clock belong expire extend
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local family   = rest(KEYS, 3)     -- session and messages of each ancestor, the parent's first
local id       = ARGV[1]           -- the run
local nonce    = ARGV[2]           -- of the lease that is asked for, or ''
local owner    = ARGV[3]           -- what to call its holder
local ttl      = tonumber(ARGV[4]) -- ms to hold it
local batch    = ARGV[5]           -- batch id, should it end

local known = redis.call('HMGET', session, 'life', 'status', 'rules', 'place', 'lease', 'run', 'task', 'line')
local now, root = clock(), family[#family - 1]
local over, unnamed = belong(family, known[4])
if unnamed then return over end
local attempt, attempts, deadline = string.match(known[6] or '0 - -', '(%d+) (%S+) (%S+)')
local number, holder, last = string.match(known[5] or '0 - 0 -', '^(%d+) (%S+) (%d+)')
local is_open = known[2] == 'active' or known[2] == 'paused'
local is_free = last - now <= 0
for till in string.gmatch(known[8] or '', '%S+ (%d+) [^\n]*\n') do
  if till - now > 0 then is_free = false end -- somebody stands in line for it
end
local left = redis.call('PTTL', session)
if left < 0 then left = 86400000 end
if deadline ~= '-' then left = math.min(left, deadline - now) end
local is_used_up = is_free and tonumber(attempts) and attempt + 0 >= attempts + 0
if not is_open or (not over and (left <= 0 or is_used_up)) then
  --- include: counts identify bucket recall remember fence uphold change answer finish look report conclude close
  if not known[1] then
    --- include: quote notice tell members part depart deliver
    for at, record in ipairs(root and members(root) or {}) do
      local other, status, life = string.match(record, '^(%S+) %d+ (%S+) %S (%S+)')
      if other == id and status == 'active' then
        local child = {life, '0 - - ' .. id, false, false, now, false}
        depart(root, family[1], at, 'timed_out', now)
        deliver(family, (notice(child, 'timed_out', 'it expired', '', now)), life .. '.result', now)
        part(root, string.format('%d', at), false, 'its parent expired')
      end
    end
  elseif not is_open and not over then
    conclude(session, messages, family, now, known[2], report(session, family, now, known[2], '', ''))
  elseif is_open and left <= 0 then
    close(session, messages, family, now, batch, 'timed_out', 'run timeout', '')
  elseif is_open then
    local reason = string.format('%d of %s attempts ended without a result', attempt, attempts)
    close(session, messages, family, now, batch, 'failed', reason, '') -- refused when it is torn: gone, too
  end
  local is_left = root and redis.call('HEXISTS', root, 'cancelled') == 1
  return {known[1] or '', is_left and 'cancelled' or 'over', 0}
end
if over then return {known[1], 'cancelled', 0} end
if nonce ~= '' and holder == nonce then -- asked again: it is his
  return {known[1], 'claimed', number + 0, ttl, attempt + 0, attempts, known[7] or '', math.min(left, ttl)}
end
if not is_free or known[2] == 'paused' then
  return {known[1], 'held', math.max(math.min(left, known[2] == 'active' and last - now or 5000), 100)}
end
if nonce == '' then return {known[1], tonumber(attempts) and 'free' or 'idle', left} end
--- include: grant uphold
grant(session, number + 1, nonce, owner, now, ttl)
redis.call('HSET', session, 'run', string.format('%d %s %s', attempt + 1, attempts, deadline))
extend(session, messages, now, known[3])
uphold(family, now)
return {known[1], 'claimed', number + 1, ttl, attempt + 1, attempts, known[7] or '', math.min(left, ttl)}
