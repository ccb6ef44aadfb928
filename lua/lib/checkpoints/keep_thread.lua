-- Let the keys of a thread live for its idle ttl from now, or for ever if that is 0.
--- include: read_clock
local function keep_thread(values, names, ttl_ms)
  for _, key in ipairs({values, names}) do
    if ttl_ms > 0 then
      redis.call('PEXPIREAT', key, string.format('%d', (read_clock()) + ttl_ms))
    else
      redis.call('PERSIST', key)
    end
  end
end
