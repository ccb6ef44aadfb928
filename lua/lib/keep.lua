-- Lets a key live for so many ms at least; a day more is given each time, so that it is seldom written.
local function keep(key, life)
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, string.format('%d', life + 86400000)) end
end
