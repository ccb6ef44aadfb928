-- Read a session's fields, without its messages, its state, and what scripts keep for themselves.
-- Returns {name, value, …}, with 'count' (messages in the list), 'left' (ms of life, or -1) and 'now' (ms) added.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation read_clock
local session     = KEYS[1] -- hash
local messages    = KEYS[2] -- list
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''

local refusal = check_incarnation(redis.call('HGET', session, 'incarnation'), incarnation)
if refusal then return refusal end
local names, shown = {}, {}
for _, name in ipairs(redis.call('HKEYS', session)) do
  local prefix = string.match(name, '^(%l+)%.')
  if (not prefix or prefix == 'meta') and name ~= 'kept_seqs' then names[#names + 1] = name end
end
for first = 1, #names, 1000 do
  local last = math.min(first + 999, #names)
  for at, value in ipairs(redis.call('HMGET', session, unpack(names, first, last))) do
    shown[#shown + 1], shown[#shown + 2] = names[first + at - 1], value
  end
end
for _, part in ipairs({
  'count', redis.call('LLEN', messages), 'left', redis.call('PTTL', session), 'now', string.format('%d', (read_clock())),
}) do
  shown[#shown + 1] = tostring(part)
end
return shown
