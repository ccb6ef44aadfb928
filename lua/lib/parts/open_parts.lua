-- Note before the first write that the session has parts, and remove those of a session that had the ID before.
local function open_parts(session, parts, part_names, has_parts)
  if has_parts then return end
  redis.call('HSET', session, 'has_parts', 1)
  redis.call('UNLINK', parts, part_names)
end
