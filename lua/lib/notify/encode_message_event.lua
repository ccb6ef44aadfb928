-- Return the word and the fact that tell watchers of appended messages: '<first seq> <length> <message>…'. Above 64 KiB the
-- watchers get the word to read the messages.
local function encode_message_event(messages, last_seq)
  local size, parts = 0, {string.format('%d ', last_seq - #messages + 1)}
  for at, message in ipairs(messages) do
    size = size + #message
    parts[at + 1] = string.format('%d ', #message) .. message
  end
  if size > 65536 then return 'ask', '0 0' end
  return 'new', table.concat(parts)
end
