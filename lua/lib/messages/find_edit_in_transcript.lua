-- Look for the messages of an edit whose result left the window of recorded results. Return the reply for the repeated edit, or
-- the refusal when the outcome is unknown, or nil.
--- include: format_counters find_batch_in_transcript
local function find_edit_in_transcript(session, messages, write, operation_id, elapsed_ms, layout_text, kind)
  local result, refusal = find_batch_in_transcript(messages, format_counters(write.counters), layout_text, operation_id,
    elapsed_ms, write.now_ms)
  return refusal or result and {write.incarnation, kind .. result, 1}
end
