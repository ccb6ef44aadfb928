-- Record the result of a write of a shared scope under its operation ID, and extend the life of the scope. The results of the
-- last 1,024 operations are kept. Without values only they stay, for a day.
local function commit_shared_write(values, log, write, operation, result)
  local results = string.gsub(write.results, '\n%S+ (%d+)[^\n]*', function(other)
    if other + 1024 <= write.operations then return '' end
  end)
  redis.call('HSET', log, 'totals', string.format('%d %d %d %d', write.bytes, write.count, write.operations, write.ttl_ms),
    write.field, string.format('%s\n%s %d %s', results, operation, write.operations, result))
  if write.ttl_ms > 0 then
    redis.call('PEXPIRE', values, write.ttl_ms)
    redis.call('PEXPIRE', log, write.ttl_ms)
  elseif redis.call('EXISTS', values) == 1 then
    redis.call('PERSIST', values)
    redis.call('PERSIST', log)
  else
    redis.call('PEXPIRE', log, 86400000)
  end
end
