-- Move a damaged session out of the way, or delete it, whatever its keys hold.
-- Returns 1, or 0 when another session has the ID by now.
-- Index: may_end
--- include: tail
local session     = KEYS[1]       -- hash, unless it is damaged
local keys        = tail(KEYS, 2) -- of the session: each key, and the key that it is renamed to
local incarnation = ARGV[1]       -- as the caller read it, '' for any, '-' for none
local keep_ms     = ARGV[2]       -- for which it stays under the other keys, or 0 to delete it

local found = redis.pcall('HGET', session, 'incarnation')
if incarnation ~= '' and type(found) == 'string' and found ~= incarnation then return 0 end
for at = 1, #keys, 2 do
  if keep_ms == '0' then
    redis.call('DEL', keys[at])
  elseif redis.call('EXISTS', keys[at]) == 1 then
    redis.call('RENAME', keys[at], keys[at + 1])
    redis.call('PEXPIRE', keys[at + 1], keep_ms)
  end
end
return 1
