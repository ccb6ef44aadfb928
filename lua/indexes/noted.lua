-- Reads what the indexes know of a session.
-- Returns {now in microseconds, facts or '', when to look or ''}.
--- include: clock
local due   = KEYS[1] -- zset: ids by when to look, in ms
local facts = KEYS[2] -- hash: id = what it is listed under, a line each
local id    = ARGV[1]

return {clock() .. micros, redis.call('HGET', facts, id) or '', redis.call('ZSCORE', due, id) or ''}
