-- Forget which session a channel talks in, unless the channel talks in another session by now.
-- Returns 1 if the channel was forgotten, else 0.
-- Index: none
local channel = KEYS[1] -- string: the ID of its session
local id      = ARGV[1] -- the session

return redis.call('GET', channel) == id and redis.call('DEL', channel) or 0
