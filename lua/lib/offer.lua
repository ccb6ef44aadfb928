-- Offers a run to the first worker in line who is there, until a time: '<time> <run>'. Returns whether one was told.
local function offer(workers, run, now, till)
  local line = redis.call('GET', workers) or ''
  local rest_of, told = line, false
  while rest_of ~= '' and not told do
    local nonce, last, counted, channel, others = string.match(rest_of, '^(%S+) (%d+) (%d) (%S+)\n()')
    told = last - now > 0 and tell(counted, channel, nonce, 'run', till .. ' ' .. run)
    rest_of = string.sub(rest_of, others)
  end
  if rest_of ~= '' then
    redis.call('SET', workers, rest_of, 'KEEPTTL')
  elseif line ~= '' then
    redis.call('DEL', workers)
  end
  return told
end
