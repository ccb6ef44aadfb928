-- Replace stored values of a session, or of another hash, if each is still as the caller read it: all or none. The former
-- values can be kept aside for a time.
-- Returns 1, or 0 when a value has changed.
-- Index: none
--- include: tail
local session  = KEYS[1]          -- hash
local messages = KEYS[2]          -- list
local aside    = KEYS[3]          -- hash: each value that was replaced, by its place
local keep_ms  = tonumber(ARGV[1]) -- for which `aside` stays, or 0 to keep nothing
local values   = tail(ARGV, 2)    -- place ('.<field>' or '#<index in the list>'), present value, new one ('' to remove), …

local function is_field(place) return string.sub(place, 1, 1) == '.' end
for at = 1, #values, 3 do
  local place = values[at]
  local name, found = string.sub(place, 2), nil
  if is_field(place) then found = redis.call('HGET', session, name) else found = redis.call('LINDEX', messages, name) end
  if found ~= values[at + 1] then return 0 end
end
for at = 1, #values, 3 do
  local place, old, new = unpack(values, at, at + 2)
  local name = string.sub(place, 2)
  if keep_ms > 0 then redis.call('HSET', aside, place, old) end
  if not is_field(place) then
    redis.call('LSET', messages, name, new ~= '' and new or 'removed')
    if new == '' then redis.call('LREM', messages, 1, 'removed') end -- no message is so short
  elseif new == '' then
    redis.call('HDEL', session, name)
  else
    redis.call('HSET', session, name, new)
  end
end
if keep_ms > 0 then redis.call('PEXPIRE', aside, keep_ms) end
return 1
