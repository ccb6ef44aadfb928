-- Set or remove the bound of how much work of an agent may run at once in the whole fleet. The waiting workers ask again.
-- Returns nothing.
-- Index: none
--- include: notify_waiters
local bound       = KEYS[1] -- string, as in runs/dequeue
local workers     = KEYS[2] -- string, as in runs/dequeue
local max_running = ARGV[1] -- or '' for no bound

if max_running == '' then
  redis.call('DEL', bound)
else
  redis.call('SET', bound, max_running)
end
notify_waiters(redis.call('GET', workers) or '', 'ask', '0 0')
redis.call('DEL', workers)
