-- Push a batch that needs more than a push: the groups of its messages, a cap that must drop more than one message, calls that
-- hold the cap, a layout to be stored. Return the listed messages; the seqs not in the list; the messages
-- outside of the list; the bytes and tokens that are retained; `state` behind the words that tell what the cap could not keep;
-- and the new `user_seq`.
--- include: parse_layout group_message drop_closed_calls rpush_chunked starts_group find_back find_next_group set_group_pin
--- include: abandon_for_cap list_index begins_turn is_pinned trim_transcript save_layout
local function fit_batch(session, messages, loaded, entries, first, count, dropped, max_messages, cap_policy, user_seq, bytes,
    tokens, state)
  local layout, new_pins, pins_from, abandoned = parse_layout(loaded.layout), 0, {}, 0
  for at, entry in ipairs(entries) do
    local is_new_pin
    entries[at], is_new_pin = group_message(entry, first + at - 1, layout)
    if is_new_pin then new_pins = new_pins + 1 end
    if begins_turn(entries[at]) then user_seq = first + at - 1 end
    if is_pinned(entry) and not layout.is_pinned then pins_from[#pins_from + 1] = first + at - 1 end
  end
  drop_closed_calls(layout)
  rpush_chunked(messages, entries)
  for _, seq in ipairs(pins_from) do -- a pinned message pins its whole group
    local at = list_index(seq, dropped, layout.gaps)
    new_pins = new_pins + set_group_pin(messages, find_back(messages, at, starts_group) or at,
      find_next_group(messages, at, count), true)
    layout.is_pinned = layout.group > 0 and layout.group <= seq
  end
  -- At most half of the cap may be pinned. A group that grows past it is not pinned further.
  local pins = new_pins > 0 and redis.call('HINCRBY', session, 'pins', new_pins) or 0
  if max_messages > 0 and pins > max_messages / 2 then layout.is_pinned = false end
  local excess = count + layout.kept - max_messages
  if max_messages > 0 and excess > 0 then
    if cap_policy ~= 'oldest' and #layout.open > 0 then
      abandoned = abandon_for_cap(messages, count, layout, dropped, max_messages)
      user_seq = math.max(user_seq, layout.user_seq or 0)
    end
    local gone_bytes, gone_tokens
    count, dropped, gone_bytes, gone_tokens =
      trim_transcript(session, messages, count, dropped, layout, max_messages, cap_policy, user_seq, #entries, bytes)
    bytes, tokens = bytes - gone_bytes, tokens - gone_tokens
    excess = count + layout.kept - max_messages
  end
  abandoned = abandoned + (layout.forgotten or 0)
  if abandoned > 0 then state = 'abandoned ' .. abandoned .. ' ' .. state end
  if max_messages > 0 and excess > 0 then state = 'over ' .. excess .. ' ' .. state end
  save_layout(session, layout)
  return count, dropped, layout.kept, bytes, tokens, state, user_seq
end
