-- Mark the named members of a tree as cancelled, or delete them, each once. Wake everything that waits for them. Then list the
-- next ones. A member whose inbox does not fit into the call is listed again. When all members were looked at, and no other
-- member was cancelled since the first call, the root forgets which ones were cancelled.
-- Returns {1 if all are done, '<the number to go on behind>', marks, '<number> <id>' …}: 50 members at most.
-- Errors: SESSION_DAMAGED
-- Index: none (their entries are repaired after)
--- include: tail read_clock parse_spawn_counts parse_member drain_for_end end_as_cancelled format_member notify_waiters
--- include: format_spawn_counts list_unfinalized keep_member_result notify_holder count_waiting
local root     = KEYS[1]           -- hash: the session at the root
local root_messages = KEYS[2]      -- list
local sessions = tail(KEYS, 3)     -- session and messages of each named member
local top      = tonumber(ARGV[1]) -- the number of the member below which all are deleted, or '' to mark what is cancelled
local after    = tonumber(ARGV[2]) -- the number to go on behind, 0 to begin
local marks    = ARGV[3]           -- as the call before returned them, or '' to begin
local numbers  = tail(ARGV, 4)     -- of the named members

local tree, cancelled, cancelled_why = unpack(redis.call('HMGET', root, 'tree', 'cancelled', 'cancelled_why'))
if not tree then return {1, '0', ''} end
if after == 0 then marks = cancelled or '' end
local now_ms, now_us = read_clock()
local counts, left, work = parse_spawn_counts(tree), {}, 0
for at, number in ipairs(numbers) do
  local session, messages, field = sessions[at * 2 - 1], sessions[at * 2], 'member.' .. number
  local member = parse_member(redis.call('HGET', root, field))
  local status, lease_waiters, join_waiters, cleanup, inbox, reason, result, lease = unpack(redis.call('HMGET',
    session, 'status', 'lease_waiters', 'join_waiters', 'cleanup', 'inbox', 'reason', 'result', 'lease'))
  local is_same = member.id and string.sub(session, -#member.id) == member.id -- else the tree is another one by now
  local is_working, again = is_same and (status == 'active' or status == 'paused'), false
  if is_working and inbox and not top then
    again = work >= 1000000
    if not again then
      local _, entries
      _, again, entries = drain_for_end(session, messages, string.format('finalize.%d', now_ms), now_ms, now_us)
      for _, entry in ipairs(entries) do work = work + 2000 + #entry end
    end
  end
  if again then
    left[#left + 1] = number .. ' ' .. member.id
  elseif is_same then
    local is_open = member.status == 'active'
    if is_open then counts.active = counts.active - 1 end
    if is_open or is_working then count_waiting(session, messages, {root, root_messages}, now_ms, -1, number) end
    if is_working then
      notify_holder(lease, 'lost', '0 0')
      end_as_cancelled(session, messages, cancelled_why or '', now_ms, now_us)
    end
    local is_cleaned = not top and is_open and cleanup == 'delete'
    if is_cleaned then keep_member_result(root, number, reason or cancelled_why or '', result or '') end
    if top or is_cleaned then redis.call('UNLINK', session, messages) end
    member.status = top and 'deleted' or is_open and 'cancelled' or member.status
    redis.call('HSET', root, field, format_member(member))
    notify_waiters(lease_waiters or '', 'ask', '0 0')
    notify_waiters(join_waiters or '', 'ask', '0 0')
  end
end
redis.call('HSET', root, 'tree', format_spawn_counts(counts))
if left[1] then return {0, string.format('%d', after), marks, unpack(left)} end
local found, is_end
found, after, is_end = list_unfinalized(root, top, after)
local is_done = is_end and not found[1]
if is_done and not top and marks ~= '' and redis.call('HGET', root, 'cancelled') == marks then
  redis.call('HDEL', root, 'cancelled', 'cancelled_why') -- none of them can write or spawn any more
end
return {is_done and 1 or 0, string.format('%d', after), marks, unpack(found)}
