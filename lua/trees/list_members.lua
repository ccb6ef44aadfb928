-- Read a tree's records of one session's children, or of all sessions below it: those among the next 1,000 members of the tree.
-- With a nonce, also register a process that must hear when enough of its children have ended.
-- Returns {incarnation, number, status, now in ms, '<total> <active>' of the tree, its limits or '', the number to go on behind
-- or '', '<number> <record>' …}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED NEED_ANCESTORS BOUND_EXCEEDED
-- Index: none
--- include: check_incarnation check_ancestor_keys read_clock parse_lineage parse_spawn_counts without_waiter format_waiter
--- include: read_tree_members is_below
local session          = KEYS[1]           -- hash
local messages         = KEYS[2]           -- list
local ancestor_keys    = {unpack(KEYS, 3)}     -- session and messages of each ancestor, the parent's first
local incarnation      = ARGV[1]           -- the incarnation the caller knows, or ''
local is_recursive     = ARGV[2] == '1'    -- not only children, but all sessions below
local nonce            = ARGV[3]           -- of the join waiter, or ''
local wait_ms          = tonumber(ARGV[4]) -- that it waits
local target           = ARGV[5]           -- how many children must have ended; 0 for all there are
local counts_receivers = ARGV[6]           -- '1' if PUBLISH returning 0 proves that the waiter is gone
local channel          = ARGV[7]           -- on which it hears
local max_waiters      = tonumber(ARGV[8]) -- join waiters that the session may have
local after            = tonumber(ARGV[9]) -- the number to go on behind, 0 to begin

local found, status, lineage, join_waiters, children =
  unpack(redis.call('HMGET', session, 'incarnation', 'status', 'lineage', 'join_waiters', 'children'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
refusal = check_ancestor_keys(ancestor_keys, lineage)
if refusal then return refusal end
local now_ms, root, number = read_clock(), ancestor_keys[#ancestor_keys - 1] or session, parse_lineage(lineage).number
if nonce ~= '' then
  if target == '0' then target = string.format('%d', parse_spawn_counts(children).total) end
  local waiter = {
    nonce = nonce, until_ms = now_ms + wait_ms, counts_receivers = counts_receivers, channel = channel, detail = target,
  }
  local others = without_waiter(join_waiters or '', nonce, now_ms)
  local _, count = string.gsub(others, '\n', '')
  if count >= max_waiters then return redis.error_reply(string.format('BOUND_EXCEEDED waiters %d %d', count + 1, max_waiters)) end
  redis.call('HSET', session, 'join_waiters', others .. format_waiter(waiter))
end
local tree, tree_limits = unpack(redis.call('HMGET', root, 'tree', 'tree_limits'))
local known, shown = {[0] = false}, {found, number, status, string.format('%d', now_ms), tree or '0 0', tree_limits or '', ''}
known[number + 0] = true
local numbers, records, is_end = read_tree_members(root, after)
if not is_end then shown[7] = string.format('%d', numbers[#numbers]) end
for at, member in ipairs(numbers) do
  local parent = string.match(records[at] or '', '^%S+ (%d+)')
  local is_inside = parent == number
  if is_recursive and not is_inside and parent then is_inside = is_below(root, parent + 0, known) end
  if is_recursive and member ~= number + 0 then known[member] = is_inside end
  if is_inside then shown[#shown + 1] = string.format('%d ', member) .. records[at] end
end
return shown
