-- Reads a session's ledger: its loops in the order of their starts, and what it used.
-- Returns {life, now, usage, formation or '', loop, header, config, metadata, reason or '', group or '', loop, …}.
-- Errors: NOT_FOUND REPLACED
--- include: identify clock
local session = KEYS[1] -- hash
local life    = ARGV[1] -- the incarnation the caller knows, or ''

local known = redis.call('HMGET', session, 'life', 'loops', 'usage')
local refusal = identify(known[1], life)
if refusal then return refusal end
local shown = {known[1], clock(), known[3] or '0 0 0 0 0 0 0'}
for loop in string.gmatch(known[2] or '', '%S+') do
  shown[#shown + 1] = loop
  local fields = redis.call('HMGET', session, 'loop.' .. loop, 'config.' .. loop, 'extra.' .. loop, 'why.' .. loop, 'group.' .. loop)
  for at = 1, 5 do shown[#shown + 1] = fields[at] or '' end
end
return shown
