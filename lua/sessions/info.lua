-- Reads everything a session is, without its messages, its state and what scripts keep for themselves.
-- Returns {name, value, …} with 'count', 'left' (ms, or -1) and 'now' added.
-- Errors: NOT_FOUND REPLACED
--- include: identify clock
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''

local fields, shown, found = redis.call('HGETALL', session), {}, false
for at = 1, #fields, 2 do
  local name = fields[at]
  if name == 'life' then found = fields[at + 1] end
  local kept = string.match(name, '^(%l+)%.')
  if not kept or kept == 'meta' then
    shown[#shown + 1], shown[#shown + 2] = name, fields[at + 1]
  end
end
local refusal = identify(found, life)
if refusal then return refusal end
for name, value in pairs({count = redis.call('LLEN', messages), left = redis.call('PTTL', session), now = clock()}) do
  shown[#shown + 1], shown[#shown + 2] = name, tostring(value)
end
return shown
