-- Refuse an edit that was made for another newest message than the session has. Another pop leaves the highest seq as it is, and a
-- summary or a replaced message has an old seq, so the batch ID is compared, too.
--- include: list_seq message_batch kept_seqs
local function check_newest(session, messages, counters, layout, newest_seq, newest_batch)
  local length, message = counters.last_seq - counters.dropped, nil
  local newest = length > 0 and list_seq(length - 1, counters.dropped, layout.gaps) or kept_seqs(session, layout)[layout.kept] or 0
  if newest > 0 then
    message = length > 0 and redis.call('LINDEX', messages, -1) or redis.call('HGET', session, 'kept.' .. newest)
  end
  if newest == newest_seq + 0 and (not message or message_batch(message) == newest_batch) then return end
  return redis.error_reply(string.format('EDIT_CONFLICT moved %.0f %.0f 0 0', newest_seq, counters.last_seq))
end
