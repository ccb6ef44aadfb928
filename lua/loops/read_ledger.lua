-- Read a session's ledger: its loops in the order of their starts, and the usage of all.
-- Returns {incarnation, usage, loop ID, record, config, metadata, reason or '', group or '', loop ID, …}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''

local found, loops, usage = unpack(redis.call('HMGET', session, 'incarnation', 'loops', 'usage'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local shown = {found, usage or '0 0 0 0 0 0 0'}
for loop_id in string.gmatch(loops or '', '%S+') do
  shown[#shown + 1] = loop_id
  local fields = redis.call('HMGET', session, 'loop.' .. loop_id, 'config.' .. loop_id, 'extra.' .. loop_id,
    'reason.' .. loop_id, 'group.' .. loop_id)
  for at = 1, 5 do shown[#shown + 1] = fields[at] or '' end
end
return shown
