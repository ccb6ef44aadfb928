-- Move all sessions of an import from where they are staged to their places, each with its expiry: all or none. A fence is
-- never lower than that of the session it replaces.
-- Returns {'moved', how many it replaced}, and the same when it is asked again; or, having done nothing, {verdict, number of the
-- session}: 'exists', 'expired', 'lost' (not all is staged any more; always 1), 'changed' (the tree to be replaced has spawned).
-- Index: none (the sessions are entered before)
--- include: tail parse_spawn_counts read_clock
local record      = KEYS[1]         -- string: the reply, for when it is asked again
local keys        = tail(KEYS, 2)   -- of each session: staged hash, staged list, session, messages; then those to delete
local may_replace = ARGV[1] == '1'
local tree_total  = tonumber(ARGV[2]) -- how many sessions the tree to be replaced has spawned
local keep_ms     = ARGV[3]         -- that the reply is kept
local staged      = tail(ARGV, 4)   -- of each session: '<number of messages> <ttl_ms> <deadline_ms or ->'

local before = redis.call('GET', record)
if before then return {'moved', before + 0} end
local tree = redis.call('HGET', keys[3], 'tree')
if may_replace and parse_spawn_counts(tree).total ~= tree_total then return {'changed', 1} end
local function apply(command, names) -- to many keys at once, because there can be thousands
  local total = 0
  for first = 1, #names, 1000 do total = total + redis.call(command, unpack(names, first, math.min(first + 999, #names))) end
  return total
end
local now_ms, wanted, sessions, old, expiries = read_clock(), {}, {}, {}, {}
for at, facts in ipairs(staged) do
  local count, ttl_ms, deadline_ms = string.match(facts, '^(%d+) (%d+) (%S+)$')
  local first, deadline = at * 4 - 3, tonumber(deadline_ms) or math.huge
  if deadline <= now_ms then return {'expired', at} end
  wanted[#wanted + 1], sessions[at], old[at] = keys[first], keys[first + 2], keys[first + 3]
  if count ~= '0' then wanted[#wanted + 1] = keys[first + 1] end
  local expiry = math.min(ttl_ms ~= '0' and now_ms + ttl_ms or math.huge, deadline)
  expiries[at] = {count ~= '0', expiry < math.huge and string.format('%d', expiry)}
end
if apply('EXISTS', wanted) ~= #wanted then return {'lost', 1} end
local replaced = apply('EXISTS', sessions)
for at = 1, replaced > 0 and #staged or 0 do
  if redis.call('EXISTS', sessions[at]) == 1 then
    if not may_replace then return {'exists', at} end
    --- include: parse_lease free_lease notify_waiters
    local held, waiters = unpack(redis.call('HMGET', sessions[at], 'lease', 'lease_waiters'))
    local fence = parse_lease(held).fence
    if fence > parse_lease(redis.call('HGET', keys[at * 4 - 3], 'lease')).fence then
      redis.call('HSET', keys[at * 4 - 3], 'lease', free_lease(fence))
    end
    notify_waiters(waiters or '', 'ask', '0 0')
  end
end
for at = #staged * 4 + 1, #keys do old[#old + 1] = keys[at] end
apply('UNLINK', old)
for at, expiry in ipairs(expiries) do
  local first, session, messages = at * 4 - 3, sessions[at], old[at]
  redis.call('RENAME', keys[first], session)
  if expiry[1] then redis.call('RENAME', keys[first + 1], messages) end
  for key = 1, expiry[1] and 2 or 1 do
    local name = key == 1 and session or messages
    if expiry[2] then redis.call('PEXPIREAT', name, expiry[2]) else redis.call('PERSIST', name) end
  end
end
redis.call('SET', record, replaced, 'PX', keep_ms)
return {'moved', replaced}
