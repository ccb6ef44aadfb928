-- Move all sessions of an import from where they are staged to their places, each with its expiry: all or none. A fence is
-- never lower than that of the session it replaces.
-- Returns {'moved', how many it replaced}, and the same when it is asked again; or, having done nothing, {verdict, which
-- session}: 'exists', 'expired', 'lost' (not all is staged any more), 'changed' (the tree to be replaced has spawned).
-- Index: none (the sessions are entered before)
--- include: tail parse_spawn_counts read_clock parse_settings parse_lease free_lease expire_session notify_waiters
local record      = KEYS[1]         -- string: the reply, for when it is asked again
local keys        = tail(KEYS, 2)   -- of each session: staged hash, staged list, session, messages; then those to delete
local may_replace = ARGV[1] == '1'
local tree_total  = tonumber(ARGV[2]) -- how many sessions the tree to be replaced has spawned
local keep_ms     = ARGV[3]         -- that the reply is kept
local staged      = tail(ARGV, 4)   -- of each session: '<incarnation> <number of fields> <number of messages>'

local before = redis.call('GET', record)
if before then return {'moved', before + 0} end
local tree = redis.call('HGET', keys[3], 'tree')
if may_replace and parse_spawn_counts(tree).total ~= tree_total then return {'changed', 1} end
local now_ms, replaced = read_clock(), 0
for at, wanted in ipairs(staged) do
  local fields, elements, session = keys[at * 4 - 3], keys[at * 4 - 2], keys[at * 4 - 1]
  local incarnation, settings = unpack(redis.call('HMGET', fields, 'incarnation', 'settings'))
  local found = string.format('%s %d %d', incarnation or '-', redis.call('HLEN', fields), redis.call('LLEN', elements))
  if found ~= wanted then return {'lost', at} end
  local deadline_ms = parse_settings(settings).deadline_ms
  if deadline_ms and deadline_ms - now_ms <= 0 then return {'expired', at} end
  if redis.call('EXISTS', session) == 1 then
    if not may_replace then return {'exists', at} end
    replaced = replaced + 1
  end
end
for at = 1, #staged * 4, 4 do
  local fields, elements, session, messages = unpack(keys, at, at + 3)
  local held, waiters = unpack(redis.call('HMGET', session, 'lease', 'lease_waiters'))
  local fence = parse_lease(held).fence
  if fence > parse_lease(redis.call('HGET', fields, 'lease')).fence then
    redis.call('HSET', fields, 'lease', free_lease(fence))
  end
  redis.call('DEL', messages)
  redis.call('RENAME', fields, session)
  if redis.call('EXISTS', elements) == 1 then redis.call('RENAME', elements, messages) end
  redis.call('PERSIST', session)
  redis.call('PERSIST', messages)
  local settings = parse_settings(redis.call('HGET', session, 'settings'))
  expire_session(session, messages, now_ms, settings.ttl_ms, settings.deadline_ms)
  notify_waiters(waiters or '', 'ask', '0 0')
end
for at = #staged * 4 + 1, #keys do redis.call('DEL', keys[at]) end
redis.call('SET', record, replaced, 'PX', keep_ms)
return {'moved', replaced}
