-- Marks members of a tree as cancelled, or deletes them: those that are named, each once. What they wait for ends.
-- Returns the next ones: {'<number> <id>' …}, 400 at the most; nothing when all are done.
--- include: rest clock counts expire extend change finish tell tell_all members below subtree
local root     = KEYS[1]             -- hash: the session at the root
local sessions = rest(KEYS, 2)       -- session and messages of each that is named
local top      = ARGV[1]             -- the number of the one whose whole subtree is deleted, or '' to mark what is cancelled
local numbers  = rest(ARGV, 2)       -- of those that are named

local known = redis.call('HMGET', root, 'tree', 'cancelled_why')
if not known[1] then return {} end
local now, total, active = clock(), string.match(known[1], '(%d+) (%d+)')
for at, number in ipairs(numbers) do
  local session, messages, field = sessions[at * 2 - 1], sessions[at * 2], 'member.' .. number
  local id, parent, status, tail = string.match(redis.call('HGET', root, field) or '', '^(%S+) (%d+) (%S+)(.*)$')
  if id and string.sub(session, -#id) == id then -- else the tree is another one by now
    local found = redis.call('HMGET', session, 'status', 'counts', 'rules', 'line', 'joiners', 'cleanup', 'inbox')
    local is_open = status == 'active'
    if is_open then active = active - 1 end
    if found[1] and (found[1] == 'active' or found[1] == 'paused') then
      if found[7] then
        --- include: bucket recall remember push identify look take waiting drain
        local seen, batch = look(session, '', bucket('swept')), 'swept.' .. now
        seen.lenient = true
        drain(session, messages, seen, {}, bucket('swept'), batch, now)
        found[2] = redis.call('HGET', session, 'counts') or found[2]
      end
      finish(session, now, 'cancelled', known[2] or '')
      change(session, messages, now, found[3], counts(found[2]))
    end
    if top ~= '' or (is_open and found[6] == 'delete') then redis.call('DEL', session, messages) end
    status = top ~= '' and 'deleted' or is_open and 'cancelled' or status
    redis.call('HSET', root, field, string.format('%s %s %s%s', id, parent, status, tail))
    tell_all(found[4], 'ask', 0, 0)
    for nonce, counted, channel in string.gmatch(found[5] or '', '(%S+) %d+ %d+ (%d) (%S+)\n') do
      tell(counted, channel, nonce, 'ask', 0, 0)
    end
  end
end
redis.call('HSET', root, 'tree', string.format('%d %d', total, active))
return top == '' and below(root, 400) or subtree(root, top, 400)
