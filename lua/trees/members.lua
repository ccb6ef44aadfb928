-- Reads a tree's records, of one session's children or of all below it, and how it stands itself. With a nonce it also notes
-- who is to be told when so many of its children have ended.
-- Returns {life, number, status, now, tree's 'ever active', limits or '', '<number> <id> <parent> <status> <policy> <life> <reference>' …}.
-- Errors: NOT_FOUND REPLACED CHAIN
--- include: rest identify clock belong members
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local family   = rest(KEYS, 3)     -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local all      = ARGV[2] == '1'    -- not only children, but all that are below it
local nonce    = ARGV[3]           -- who waits, or ''
local wait     = tonumber(ARGV[4]) -- ms he waits
local target   = ARGV[5]           -- how many children must have ended for him to be told; 0 for all there are
local counted  = ARGV[6]           -- '1': a channel without a receiver says that he is gone
local channel  = ARGV[7]           -- where he hears of it

local known = redis.call('HMGET', session, 'life', 'status', 'place', 'joiners', 'children')
local refusal = identify(known[1], life)
if refusal then return refusal end
local unknown, unnamed = belong(family, known[3])
if unnamed then return unknown end
local now, root, own = clock(), family[#family - 1] or session, string.match(known[3] or '0', '^%d+')
if nonce ~= '' then
  if target == '0' then target = string.match(known[5] or '0', '^%d+') end
  local others = string.gsub(known[4] or '', '(%S+) (%d+) [^\n]*\n', function(other, last)
    if other == nonce or last - now <= 0 then return '' end
  end)
  redis.call('HSET', session, 'joiners', others .. string.format('%s %d %s %s %s\n', nonce, now + wait, target, counted, channel))
end
local tree = redis.call('HMGET', root, 'tree', 'tree_limits')
local inside, shown = {[own + 0] = true}, {known[1], own, known[2], now, tree[1] or '0 0', tree[2] or ''}
for number, record in ipairs(members(root)) do
  local parent = string.match(record, '^%S+ (%d+)') + 0
  if inside[parent] then
    shown[#shown + 1] = number .. ' ' .. record
    inside[number] = all or nil
  end
end
return shown
