-- Apply the end of a session to those below it. A cancellation cancels all of them by the mark '<number>'. At any other end the
-- policy of each active child holds: c cancels it, r asks it to stop, d lets it go on. The marks '<number>/c<last>' and
-- '<number>/r<last>' say so, for the children of the session up to the number `last`: none is spawned before a retry.
--- include: mark_member parse_spawn_counts
local function apply_on_parent_end(root, number, is_cancel, reason)
  if is_cancel then return mark_member(root, 'cancelled', number, reason) end
  local last = parse_spawn_counts(redis.call('HGET', root, 'tree')).total
  mark_member(root, 'cancelled', string.format('%s/c%d', number, last), reason)
  mark_member(root, 'requested', string.format('%s/r%d', number, last), reason)
end
