-- Moves all sessions of an import from where they are staged to their places, each with its expiry: all or none. A fence is
-- never lower than that of the session it replaces.
-- Returns {'moved', how many it replaced}, and the same when it is asked again; or, having done nothing, {verdict, which
-- session}: 'exists', 'expired', 'lost' (not all is staged any more), 'changed' (the tree to be replaced has spawned).
--- include: rest clock expire tell tell_all
local record  = KEYS[1]         -- string: the answer, for when it is asked again
local keys    = rest(KEYS, 2)   -- of each session: staged hash, staged list, session, messages; then those that are deleted
local replace = ARGV[1] == '1'  -- what is there is replaced
local ever    = ARGV[2]         -- how many the tree to be replaced has spawned
local keep    = ARGV[3]         -- ms that the answer is kept
local staged  = rest(ARGV, 4)   -- of each session: '<life> <number of fields> <number of messages>'

local before = redis.call('GET', record)
if before then return {'moved', before + 0} end
if replace and string.match(redis.call('HGET', keys[3], 'tree') or '0', '^%d+') ~= ever then return {'changed', 1} end
local now, replaced = clock(), 0
for at, wanted in ipairs(staged) do
  local fields, elements, session = keys[at * 4 - 3], keys[at * 4 - 2], keys[at * 4 - 1]
  local known = redis.call('HMGET', fields, 'life', 'rules')
  local found = string.format('%s %d %d', known[1] or '-', redis.call('HLEN', fields), redis.call('LLEN', elements))
  if found ~= wanted then return {'lost', at} end
  local deadline = tonumber(string.match(known[2], '%S+$'))
  if deadline and deadline - now <= 0 then return {'expired', at} end
  if redis.call('EXISTS', session) == 1 then
    if not replace then return {'exists', at} end
    replaced = replaced + 1
  end
end
for at = 1, #staged * 4, 4 do
  local fields, elements, session, messages = unpack(keys, at, at + 3)
  local old = redis.call('HMGET', session, 'lease', 'line')
  local fence, own = string.match(old[1] or '0', '^%d+'), redis.call('HGET', fields, 'lease') or '0'
  if fence - string.match(own, '^%d+') > 0 then redis.call('HSET', fields, 'lease', fence .. ' - 0 -') end
  redis.call('DEL', messages)
  redis.call('RENAME', fields, session)
  if redis.call('EXISTS', elements) == 1 then redis.call('RENAME', elements, messages) end
  redis.call('PERSIST', session)
  redis.call('PERSIST', messages)
  local ttl, deadline = string.match(redis.call('HGET', session, 'rules'), '(%S+) (%S+)$')
  expire(session, messages, now, ttl, deadline)
  tell_all(old[2], 'ask', 0, 0)
end
for at = #staged * 4 + 1, #keys do redis.call('DEL', keys[at]) end
redis.call('SET', record, replaced, 'PX', keep)
return {'moved', replaced}
