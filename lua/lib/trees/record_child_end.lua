-- Write a child's end into its tree: its record, and the counts of active sessions. Wake the join waiters of its parent.
--- include: parse_spawn_counts parse_member format_spawn_counts format_member parse_waiter publish_to_waiter
local function record_child_end(root, parent, number, status, now_ms)
  local field = 'member.' .. number
  local tree, record = unpack(redis.call('HMGET', root, 'tree', field))
  local counts, member = parse_spawn_counts(tree), parse_member(record)
  counts.active, member.status = counts.active - 1, status
  redis.call('HSET', root, 'tree', format_spawn_counts(counts), field, format_member(member))
  local children, join_waiters = unpack(redis.call('HMGET', parent, 'children', 'join_waiters'))
  if not children then return end
  counts = parse_spawn_counts(children)
  counts.active = math.max(counts.active - 1, 0) -- a retry of the parent may have left this child out
  redis.call('HSET', parent, 'children', format_spawn_counts(counts))
  local at = 1
  while join_waiters and at <= #join_waiters do
    local waiter
    waiter, at = parse_waiter(join_waiters, at)
    if waiter.until_ms - now_ms > 0 and counts.total - counts.active >= waiter.detail + 0 then
      publish_to_waiter(waiter, 'ask', '0 0')
    end
  end
end
