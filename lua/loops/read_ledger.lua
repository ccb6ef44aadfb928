-- Read a session's ledger from one of its loops on, in the order of their starts, and the usage of all.
-- Returns {incarnation, usage, how many loops there are, loop ID, record, config, metadata, reason or '', group or '', loop ID,
-- …}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation
local session     = KEYS[1] -- hash
local ledger      = KEYS[2] -- hash: what the loops recorded
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local first       = tonumber(ARGV[2]) -- loops that are known
local limit       = tonumber(ARGV[3]) -- how many loops at most
local max_bytes   = tonumber(ARGV[4]) -- at which the reply is full

local found, loops, usage = unpack(redis.call('HMGET', session, 'incarnation', 'loops', 'usage'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local shown, number, bytes = {found, usage or '0 0 0 0 0 0 0', 0}, 0, 0
for loop_id in string.gmatch(loops or '', '%S+') do
  number = number + 1
  if number > first and number <= first + limit and bytes < max_bytes then
    local fields = redis.call('HMGET', ledger, 'config.' .. loop_id, 'extra.' .. loop_id, 'reason.' .. loop_id, 'group.' .. loop_id)
    table.insert(fields, 1, redis.call('HGET', session, 'loop.' .. loop_id))
    shown[#shown + 1] = loop_id
    for at = 1, 5 do
      shown[#shown + 1] = fields[at] or ''
      bytes = bytes + #shown[#shown]
    end
  end
end
shown[3] = number
return shown
