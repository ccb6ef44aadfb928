-- Takes a child's result into its parent (the first of its family): into the transcript, or into the inbox while somebody holds
-- the parent's lease, it is paused, or a limit of its own refuses it. A parent that is gone, cancelled or ended is told nothing.
local function deliver(family, entry, batch, now)
  local parent, messages, ops = family[1], family[2], bucket(batch)
  local known = look(parent, '', ops)
  if (known[2] ~= 'active' and known[2] ~= 'paused') or belong(rest(family, 3), known[12]) then return end
  --- include: push take waiting drain note post
  local held, lapsed = fence(known[8], '', now)
  known.lenient = true
  if not held and known[2] == 'active' then
    local result = drain(parent, messages, known, {entry}, ops, batch, now)
    if result and lapsed then redis.call('HSET', parent, 'lease', lapsed) end
    if result then return end
    known = look(parent, '', ops)
    if not known[1] then return end
  end
  post(parent, messages, known, entry, ops, batch, now)
end
