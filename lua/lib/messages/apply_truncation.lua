-- Remove the messages that plan_truncation found: all but the first `staying` of the list, and those outside of the list.
--- include: set_kept_seqs
local function apply_truncation(session, messages, layout, staying, going, unpinned)
  if staying == 0 then redis.call('UNLINK', messages) else redis.call('LTRIM', messages, 0, staying - 1) end
  for _, seq in ipairs(going) do redis.call('HDEL', session, 'kept.' .. seq) end
  if #going > 0 then set_kept_seqs(session, layout, layout.seqs) end
  if unpinned > 0 then redis.call('HINCRBY', session, 'pins', -unpinned) end
end
