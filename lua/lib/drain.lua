-- Takes a session's inbox into the transcript, and `own` behind it: once, in order, all or none. `known` is as `look`
-- has it. Returns as `take` does, then all of those messages.
local function drain(session, messages, known, own, ops, batch, now)
  local entries, fields = waiting(session, known[10])
  for _, entry in ipairs(own) do entries[#entries + 1] = entry end
  local result, refusal = take(session, messages, known, entries, ops, batch, now, #fields)
  if refusal then return nil, refusal end
  if #fields > 0 then redis.call('HDEL', session, 'inbox', unpack(fields)) end
  local readers = redis.call('HGET', session, 'readers')
  if readers then
    --- include: tell rouse tidings
    local _, last = string.match(redis.call('HGET', session, 'counts'), '^(%d+) (%d+)')
    rouse(session, readers, now, tidings(entries, last))
  end
  return result, entries
end
