-- Spawns a child of a session, if its tree has room: child, label, counts and its place in the agent's queue, all or nothing.
-- It lives no longer than its parent, nor past its parent's deadlines. A batch id is one spawn.
-- Returns {life, 'accepted', 'spawned <number in the tree> <id> <life>'}, or {life, 'forbidden', 'reason current max'}.
-- Errors: NOT_FOUND REPLACED LOCKED LEASE_LOST CHAIN LIMIT
--- include: rest identify bucket recall remember clock fence belong mark expire extend uphold note bear grown room
local session  = KEYS[1]           -- hash: the parent
local messages = KEYS[2]           -- list
local child    = KEYS[3]           -- hash
local listed   = KEYS[4]           -- list: the child's messages
local queue    = KEYS[5]           -- zset, as runs/note has it; in a cluster, where it has a slot of its own, the parent again
local due      = KEYS[6]           -- zset, likewise
local workers  = KEYS[7]           -- string, likewise
local family   = rest(KEYS, 8)     -- session and messages of each ancestor of the parent's, its parent's first
local life     = ARGV[1]           -- the incarnation of the parent that the caller knows, or ''
local batch    = ARGV[2]           -- batch id
local lease    = ARGV[3]           -- 'fence nonce' of the lease on the parent it is made under, or ''
local parent   = ARGV[4]           -- the parent's id
local id       = ARGV[5]           -- the child's
local born     = ARGV[6]           -- the child's life
local rules    = ARGV[7]           -- 'cap policy max_bytes'
local ttl      = tonumber(ARGV[8]) -- the child's idle life in ms, or 0
local lifetime = tonumber(ARGV[9]) -- its whole life in ms, or 0
local limits   = ARGV[10]          -- of a tree that has none of its own: 'depth children concurrent total'
local label    = ARGV[11]          -- or ''
local tail     = ARGV[12]          -- of its record: 'policy life reference'
local is_fork  = ARGV[13] == '1'   -- it starts with the parent's messages
local attempts = ARGV[14]          -- how often it may be claimed, '-' when it is not for workers
local timeout  = tonumber(ARGV[15]) -- ms it may run, or 0
local queued   = ARGV[16]          -- '1': with the agent's queue
local fields   = rest(ARGV, 17)    -- the child's: name, value, … as lua/README.md lists them
local ops = bucket(batch)
local known = redis.call('HMGET', session, 'life', 'status', 'rules', 'place', 'children', 'run', ops, 'lease', 'counts')
local refusal = identify(known[1], life)
if refusal then return refusal end
local before, made = recall(known[7] or '', batch), redis.call('HMGET', child, 'life', 'place')
if made[2] then before = before or string.format('spawned %s %s %s', string.match(made[2], '^%d+'), id, made[1]) end
if before then
  mark(session, known[1])
  return {known[1], 'accepted', before}
end
local now, lapsed = clock(), nil
local over, unnamed = belong(family, known[4])
if over then return unnamed and over or {known[1], 'forbidden', 'cancelled'} end
if known[2] ~= 'active' then return {known[1], 'forbidden', 'parent_' .. known[2]} end
refusal, lapsed = fence(known[8], lease, now)
if refusal then return refusal end
local root = family[#family - 1] or session
local tree = redis.call('HMGET', root, 'tree', 'tree_limits', 'life', 'label.' .. label)
local full = room(session, family, root, tree, tree[2] or limits, known[5])
if full then return {known[1], 'forbidden', full} end
if is_fork then
  --- include: pin cut words shed trim fork
  refusal = fork(session, messages, child, listed, rules)
  if refusal then return refusal end
end
local mine, path, chain = string.match(known[4] or '0 - /0/ - ', '^(%d+) %S+ (%S+) %S+ (.*)$')
local number = string.format('%d', string.match(tree[1] or '0', '^%d+') + 1)
local last = tonumber(string.match(known[6] or '-', '%S+$'))
if timeout > 0 then last = math.min(now + timeout, last or math.huge) end
chain = chain ~= '' and parent .. ' ' .. chain or parent
redis.call('HSET', child, 'life', born, 'parent', parent,
  'place', string.format('%s %s %s%s/ %s %s', number, tree[3], path, number, id, chain),
  'run', string.format('0 %s %s', attempts, last and string.format('%d', last) or '-'))
bear(child, listed, now, known[3], rules, ttl, lifetime, fields)
redis.call('HSET', session, 'children', grown(known[5]))
redis.call('HSET', root, 'tree', grown(tree[1]), 'member.' .. number, string.format('%s %s active %s', id, mine, tail))
if label ~= '' then redis.call('HSET', root, 'label.' .. label, number) end
before = string.format('spawned %s %s %s', number, id, born)
note(session, known[9], ops, known[7], batch, before)
if lapsed then redis.call('HSET', session, 'lease', lapsed) end
extend(session, messages, now, known[3])
uphold(family, now)
if queued == '1' then
  --- include: tell offer announce
  local left = math.min(redis.call('PTTL', child) % 2^53, last and last - now or 86400000) -- -1, for ever, is a lot, too
  announce(queue, due, workers, id .. ' ' .. chain, attempts ~= '-' and 0 or '', left)
end
return {known[1], 'accepted', before}
