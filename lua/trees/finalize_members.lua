-- Mark the named members of a tree as cancelled, or delete them, each once. Wake everything that waits for them.
-- Returns the next ones: {'<number> <id>' …}, 400 at most; nothing when all are done.
-- Errors: SESSION_DAMAGED
-- Index: none (their entries are repaired after)
--- include: tail read_clock parse_spawn_counts parse_member end_as_cancelled format_member notify_waiters format_spawn_counts
--- include: list_cancelled_members list_descendants keep_member_result notify_holder count_waiting
local root     = KEYS[1]       -- hash: the session at the root
local root_messages = KEYS[2]  -- list
local sessions = tail(KEYS, 3) -- session and messages of each named member
local top      = ARGV[1]       -- the number of the member below which all are deleted, or '' to mark what is cancelled
local numbers  = tail(ARGV, 2) -- of the named members

local tree, cancelled_why = unpack(redis.call('HMGET', root, 'tree', 'cancelled_why'))
if not tree then return {} end
local now_ms, now_us = read_clock()
local counts = parse_spawn_counts(tree)
for at, number in ipairs(numbers) do
  local session, messages, field = sessions[at * 2 - 1], sessions[at * 2], 'member.' .. number
  local member = parse_member(redis.call('HGET', root, field))
  if member.id and string.sub(session, -#member.id) == member.id then -- else the tree is another one by now
    local status, lease_waiters, join_waiters, cleanup, inbox, reason, result, lease = unpack(redis.call('HMGET',
      session, 'status', 'lease_waiters', 'join_waiters', 'cleanup', 'inbox', 'reason', 'result', 'lease'))
    local is_open = member.status == 'active'
    if is_open then counts.active = counts.active - 1 end
    if status == 'active' or status == 'paused' then
      notify_holder(lease or nil, 'lost', '0 0')
      count_waiting(session, messages, {root, root_messages}, now_ms, -1, number)
      end_as_cancelled(session, messages, inbox, cancelled_why or '', now_ms, now_us)
    end
    local is_cleaned = top == '' and is_open and cleanup == 'delete'
    if is_cleaned then keep_member_result(root, number, reason or cancelled_why or '', result or '') end
    if top ~= '' or is_cleaned then redis.call('UNLINK', session, messages) end
    member.status = top ~= '' and 'deleted' or is_open and 'cancelled' or member.status
    redis.call('HSET', root, field, format_member(member))
    notify_waiters(lease_waiters or '', 'ask', '0 0')
    notify_waiters(join_waiters or '', 'ask', '0 0')
  end
end
redis.call('HSET', root, 'tree', format_spawn_counts(counts))
return top == '' and list_cancelled_members(root, 400) or list_descendants(root, top, 400)
