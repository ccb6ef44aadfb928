-- Look for the messages of an edit whose result left the window of recorded results. Return the reply for the repeated edit, or the
-- refusal when the outcome is unknown, or nil.
--- include: format_counters find_batch_in_transcript
local function find_edit_in_transcript(session, messages, write, operation_id, elapsed_ms, layout_text)
  local loaded = {incarnation = write.incarnation, counters = format_counters(write.counters), layout = layout_text}
  local reply = find_batch_in_transcript(messages, loaded, operation_id, elapsed_ms, write.now_ms)
  if type(reply) ~= 'string' then return reply end
  return {write.incarnation, string.match(reply, '^%S+ 1 (.*)$'), 1}
end
