-- Return the seq of the newest message and the message, or 0.
--- include: list_seq kept_seqs
local function newest_message(session, messages, counters, layout)
  local length = counters.last_seq - counters.dropped
  if length > 0 then return list_seq(length - 1, counters.dropped, layout.gaps), redis.call('LINDEX', messages, -1) end
  local seq = kept_seqs(session, layout)[layout.kept] or 0
  return seq, seq > 0 and redis.call('HGET', session, 'kept.' .. seq)
end
