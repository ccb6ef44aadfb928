-- Says that sessions are being written: what indexes say of them may be behind.
-- Returns nothing.
--- include: rest clock keep
local marks   = KEYS[1]           -- zset: id and writer by when, in microseconds
local life    = tonumber(ARGV[1]) -- ms for which the marks are kept at least
local members = rest(ARGV, 2)     -- id, space, writer; with '?' behind it one that may come to be listed elsewhere

local now = clock() .. micros
for _, member in ipairs(members) do
  redis.call('ZADD', marks, now, member)
end
keep(marks, life)
