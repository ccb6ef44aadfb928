-- Return the seqs of the messages that the hash holds, ascending. Read them only when a script needs them, because there can be
-- thousands: the layout has their number.
local function kept_seqs(session, layout)
  if not layout.seqs then
    layout.seqs = {}
    local text = layout.kept > 0 and redis.call('HGET', session, 'kept_seqs') or ''
    for seq in string.gmatch(text, '%d+') do layout.seqs[#layout.seqs + 1] = seq + 0 end
  end
  return layout.seqs
end

-- Change which messages the hash holds, in the layout and in the session.
local function set_kept_seqs(session, layout, seqs)
  layout.seqs, layout.kept = seqs, #seqs
  if #seqs > 0 then
    redis.call('HSET', session, 'kept_seqs', table.concat(seqs, ','))
  else
    redis.call('HDEL', session, 'kept_seqs')
  end
end

-- Add seqs behind those that are there, which are all lower.
local function add_kept_seqs(session, layout, seqs)
  local text = layout.kept > 0 and redis.call('HGET', session, 'kept_seqs') .. ',' or ''
  redis.call('HSET', session, 'kept_seqs', text .. table.concat(seqs, ','))
  layout.seqs, layout.kept = nil, layout.kept + #seqs
end
