-- Read a session's fields, without its messages, its state, and what scripts keep for themselves.
-- Returns {name, value, …}, with 'count' (messages in the list), 'left' (ms of life, or -1) and 'now' (ms) added.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation read_clock
local session     = KEYS[1] -- hash
local messages    = KEYS[2] -- list
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''

local fields, shown, found = redis.call('HGETALL', session), {}, false
for at = 1, #fields, 2 do
  local name = fields[at]
  if name == 'incarnation' then found = fields[at + 1] end
  local prefix = string.match(name, '^(%l+)%.')
  if (not prefix or prefix == 'meta') and name ~= 'kept_seqs' then
    shown[#shown + 1], shown[#shown + 2] = name, fields[at + 1]
  end
end
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
for _, part in ipairs({
  'count', redis.call('LLEN', messages), 'left', redis.call('PTTL', session), 'now', string.format('%d', (read_clock())),
}) do
  shown[#shown + 1] = tostring(part)
end
return shown
