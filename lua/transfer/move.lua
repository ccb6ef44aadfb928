-- Move all sessions of an import from where they are staged to their places, each with its expiry: all or none. A fence is
-- never lower than that of the session it replaces.
-- Returns {'moved', how many it replaced}, and the same when it is asked again; or, having done nothing, {verdict, number of the
-- session}: 'exists', 'expired', 'lost' (not all is staged any more; always 1), 'changed' (the tree to be replaced has spawned).
-- Index: none (the sessions are entered before)
--- include: tail parse_spawn_counts read_clock
local record      = KEYS[1]         -- string: the reply, for when it is asked again
local keys        = tail(KEYS, 2)   -- of each session: staged hash, list, ledger, parts, names; its own five; then those to delete
local may_replace = ARGV[1] == '1'
local tree_total  = tonumber(ARGV[2]) -- how many sessions the tree to be replaced has spawned
local keep_ms     = ARGV[3]         -- that the reply is kept
local staged      = tail(ARGV, 4)   -- of each session: '<messages> <ttl_ms> <deadline_ms or -> <fields of the ledger> <of the parts> <names>'

local before = redis.call('GET', record)
if before then return {'moved', before + 0} end
local tree = redis.call('HGET', keys[6], 'tree')
if may_replace and parse_spawn_counts(tree).total ~= tree_total then return {'changed', 1} end
local function apply(command, names) -- to many keys at once, because there can be thousands
  local total = 0
  for first = 1, #names, 1000 do total = total + redis.call(command, unpack(names, first, math.min(first + 999, #names))) end
  return total
end
local now_ms, wanted, sessions, old, moves = read_clock(), {}, {}, {}, {}
for at, facts in ipairs(staged) do
  local count, ttl_ms, deadline_ms, ledger_count, part_count, name_count = string.match(facts, '^(%d+) (%d+) (%S+) (%d+) (%d+) (%d+)$')
  local first, deadline = at * 10 - 9, tonumber(deadline_ms) or math.huge
  if deadline <= now_ms then return {'expired', at} end
  local expiry = math.min(ttl_ms ~= '0' and now_ms + ttl_ms or math.huge, deadline)
  sessions[at] = keys[first + 5]
  for part, size in ipairs({'1', count, ledger_count, part_count, name_count}) do
    if size ~= '0' then
      wanted[#wanted + 1] = keys[first + part - 1]
      moves[#moves + 1] = {keys[first + part - 1], keys[first + part + 4], expiry + (part > 2 and 2678400000 or 0)}
    end
    if part > 1 then old[#old + 1] = keys[first + part + 4] end
  end
end
if apply('EXISTS', wanted) ~= #wanted then return {'lost', 1} end
local replaced = apply('EXISTS', sessions)
for at = 1, replaced > 0 and #staged or 0 do
  if redis.call('EXISTS', sessions[at]) == 1 then
    if not may_replace then return {'exists', at} end
    --- include: parse_lease free_lease notify_waiters
    local held, waiters = unpack(redis.call('HMGET', sessions[at], 'lease', 'lease_waiters'))
    local fence = parse_lease(held).fence
    if fence > parse_lease(redis.call('HGET', keys[at * 10 - 9], 'lease')).fence then
      redis.call('HSET', keys[at * 10 - 9], 'lease', free_lease(fence))
    end
    notify_waiters(waiters or '', 'ask', '0 0')
  end
end
for at = #staged * 10 + 1, #keys do old[#old + 1] = keys[at] end
apply('UNLINK', old)
for _, move in ipairs(moves) do
  local from, to, expiry = unpack(move)
  redis.call('RENAME', from, to)
  if expiry < math.huge then redis.call('PEXPIREAT', to, string.format('%d', expiry)) else redis.call('PERSIST', to) end
end
redis.call('SET', record, replaced, 'PX', keep_ms)
return {'moved', replaced}
