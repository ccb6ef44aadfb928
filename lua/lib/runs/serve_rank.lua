-- Note that work with a rank is served. Keys whose last rank is lower are forgotten, because they begin at this rank again.
local function serve_rank(ranks, rank)
  local band = math.floor(rank / 2^44)
  local low, high = string.format('%.0f', band * 2^44), string.format('(%.0f', rank)
  redis.call('ZREMRANGEBYSCORE', ranks, low, high)
  redis.call('ZADD', ranks, string.format('%.0f', rank), string.format('%d', 100 - band))
end
