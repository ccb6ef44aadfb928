-- Return the result of a spawn that was made before: under its operation ID, or as the child that it would make; or nil.
--- include: find_before parse_lineage
local function find_spawned(session, messages, child, child_id, results, recent, operation)
  local spawned = find_before(session, messages, results, recent, operation)
  local made, lineage = unpack(redis.call('HMGET', child, 'incarnation', 'lineage'))
  if not lineage or spawned then return spawned end
  return string.format('spawned %s %s %s', parse_lineage(lineage).number, child_id, made)
end
