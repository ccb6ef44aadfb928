-- Read sessions as lists show them: some fields, the metadata, and the last message if it is not too long. A session that is
-- gone has no values. In a cluster it is called with one session.
-- Returns {{{value, …}, {name, value, …}, message or ''}, …}.
-- Index: none
--- include: tail
local keys      = tail(KEYS, 1)     -- session and messages of each
local max_bytes = tonumber(ARGV[1]) -- of the last message; 0 for no message and no metadata
local fields    = tail(ARGV, 2)     -- the first is 'has_metadata'

local rows = {}
for at = 1, #keys, 2 do
  local session = keys[at]
  local values = redis.pcall('HMGET', session, unpack(fields))
  if values.err then values = {} end
  local metadata, message = {}, ''
  if values[1] and max_bytes > 0 then
    for _, name in ipairs(redis.call('HKEYS', session)) do
      if string.sub(name, 1, 5) == 'meta.' then
        metadata[#metadata + 1], metadata[#metadata + 2] = name, redis.call('HGET', session, name)
      end
    end
  end
  if max_bytes > 0 and values[2] then
    local found = redis.pcall('LINDEX', keys[at + 1], -1)
    if type(found) == 'string' then message = #found <= max_bytes and found or string.sub(found, 1, 7) end
  end
  rows[#rows + 1] = {values, metadata, message}
end
return rows
