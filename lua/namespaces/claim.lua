-- Claim a namespace for a schema version if no client has claimed it. First try each command that scripts call, because a script
-- that a missing right stops half way is not rolled back. The probe has a type after the other, and is gone at the end.
-- Returns {schema version of the namespace or '', command that the user may not call, …}. A missing right leaves all as it is.
-- Index: none
local meta    = KEYS[1] -- string
local probe   = KEYS[2] -- any, exists only while the script runs
local version = ARGV[1] -- of the schema that the client uses

local denied = {}
for line in ('UNLINK|RPUSH 1|LPUSH 1|LSET 0 1|LREM 0 2|LINDEX 0|LLEN|LRANGE 0 0|LTRIM 0 0|EXISTS|PTTL|PERSIST|PEXPIRE 9999|'
  .. 'PEXPIREAT 9999999999999|RENAME @|LPOP|RPOP|HSET 1 1|HSETNX 1 1|HINCRBY 1 1|HGET 1|HMGET 1|HEXISTS 1|HSTRLEN 1|HLEN|HKEYS|'
  .. 'HGETALL|HSCAN 0|HDEL 1|ZADD 1 1|ZINCRBY 1 1|ZSCORE 1|ZMSCORE 1|ZRANK 1|ZCARD|ZCOUNT 0 1|ZLEXCOUNT - +|ZRANGE 0 0|'
  .. 'ZRANGEBYLEX - +|ZRANGEBYSCORE 0 1|ZREVRANGEBYLEX + -|ZREVRANGEBYSCORE 1 0|ZREMRANGEBYSCORE 5 6|ZREM 1|SET 1|GET|DEL|'
  .. 'UNLINK'):gmatch('[^|]+') do
  local words = {}
  for word in line:gmatch('%S+') do words[#words + 1] = word == '@' and probe or word end
  table.insert(words, 2, probe)
  local reply = redis.pcall(unpack(words))
  local problem = type(reply) == 'table' and reply['err']
  if problem and (problem:find('ACL failure', 1, true) or problem:find('The user executing', 1, true)) then
    denied[#denied + 1] = words[1]
    if words[1] == 'UNLINK' then break end -- it must remove the probe if a later command is denied
  end
end
local found = redis.call('GET', meta)
if not found and not denied[1] then
  redis.call('SET', meta, version)
  found = version
end
return {found or '', unpack(denied)}
