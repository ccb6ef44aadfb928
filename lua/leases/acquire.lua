-- Acquires a session's lease, or a place in the line for it: first come, first served. A nonce is one request: repeated,
-- it has the same fence or keeps its place; with nothing left to wait it leaves the line.
-- Returns {life, fence, ms it holds}, or {life, 0, ms after which to ask again} to one in line.
-- Errors: NOT_FOUND REPLACED LOCKED LEASE_LOST LIMIT
--- include: identify bucket recall clock expire extend tell leave grant hand_over
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local nonce    = ARGV[2]           -- who asks
local owner    = ARGV[3]           -- what to call him
local ttl      = tonumber(ARGV[4]) -- ms to hold it
local wait     = tonumber(ARGV[5]) -- ms to stay in line, or 0
local channel  = ARGV[6]           -- where he hears of it
local counted  = ARGV[7]           -- '1': a channel without a receiver says that he is gone
local most     = tonumber(ARGV[8]) -- how many may stand in line

local known = redis.call('HMGET', session, 'life', 'rules', 'lease', 'line', bucket(nonce))
local refusal = identify(known[1], life)
if refusal then return refusal end
local number, holder, deadline, name = string.match(known[3] or '0 - 0 -', '^(%d+) (%S+) (%d+) (%S+)$')
if recall(known[5] or '', nonce) then return redis.error_reply('LEASE_LOST ' .. number .. ' ' .. name) end
local now, line = clock(), known[4] or ''
local is_free = deadline - now <= 0
if holder == nonce or (is_free and line == '') then
  number = number + (holder == nonce and 0 or 1)
  grant(session, number, nonce, owner, now, ttl)
  extend(session, messages, now, known[2])
  return {known[1], number + 0, ttl}
end

if not string.find(line, nonce .. ' ', 1, true) then
  if #line > most * 20 then -- no record is that short
    line = string.gsub(line, '%S+ (%d+) [^\n]*\n', function(last) if last - now <= 0 then return '' end end)
    local _, length = string.gsub(line, '\n', '')
    if length >= most then return redis.error_reply(string.format('LIMIT line %d %d error', length + 1, most)) end
  end
  line = line .. string.format('%s %d %d %s %s %s\n', nonce, now + math.max(wait, 1), ttl, counted, channel, owner)
end
if is_free then
  if hand_over(session, number, line, now, nonce) == nonce then
    extend(session, messages, now, known[2])
    return {known[1], number + 1, ttl}
  end
  local left = redis.call('HMGET', session, 'lease', 'line')
  number, holder, deadline, name = string.match(left[1], '^(%d+) (%S+) (%d+) (%S+)$')
  line = left[2] or ''
end
if wait == 0 then line = leave(line, nonce) end
if line == '' then
  redis.call('HDEL', session, 'line')
elseif wait > 0 or line ~= known[4] then
  redis.call('HSET', session, 'line', line)
end
if wait > 0 then return {known[1], 0, deadline - now} end
return redis.error_reply(string.format('LOCKED %s %s %d', name, number, deadline - now))
