-- Remembers the result of an operation that leaves the session's rev and content as they are.
local function note(session, counts, ops, records, batch, result)
  local before, number, updated = string.match(counts, '^(.*) (%d+) (%d+)$')
  redis.call('HSET', session, 'counts', string.format('%s %d %s', before, number + 1, updated),
    ops, remember(records or '', batch, number + 1, result))
end
