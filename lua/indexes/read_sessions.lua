-- Read sessions as lists show them: some fields, the metadata, and the last message if it is not too long. A session that is
-- gone has no values. In a cluster it is called with one session. With about 1 MB the reply is full: it leaves out the other
-- sessions.
-- Returns {{{value, …}, {name, value, …}, message or ''}, …}.
-- Index: none
--- include: tail
local keys      = tail(KEYS, 1)     -- session and messages of each
local max_bytes = tonumber(ARGV[1]) -- of the last message; 0 for no message and no metadata
local fields    = tail(ARGV, 2)     -- the first is 'has_metadata'

local rows, bytes = {}, 0
for at = 1, #keys, 2 do
  if bytes > 1000000 then break end
  local session = keys[at]
  local values = redis.pcall('HMGET', session, unpack(fields))
  if values.err then values = {} end
  for _, value in ipairs(values) do bytes = bytes + (value and #value or 0) end
  local metadata, message = {}, ''
  if values[1] and max_bytes > 0 then
    local names = redis.call('HKEYS', session)
    bytes = bytes + #names * 50
    for _, name in ipairs(names) do
      if string.sub(name, 1, 5) == 'meta.' then
        local value = redis.call('HGET', session, name)
        metadata[#metadata + 1], metadata[#metadata + 2], bytes = name, value, bytes + #value
      end
    end
  end
  if max_bytes > 0 and values[2] then
    local found = redis.pcall('LINDEX', keys[at + 1], -1)
    if type(found) == 'string' then
      message, bytes = #found <= max_bytes and found or string.sub(found, 1, 7), bytes + #found
    end
  end
  rows[#rows + 1] = {values, metadata, message}
end
return rows
