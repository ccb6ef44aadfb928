-- Push a batch that needs more than a push: the groups of its messages, a cap that must drop more than one message, calls that
-- hold the cap, a layout to be stored. `counters` count the batch already, but its user messages do not count as the newest one
-- yet; they are changed. Return the number of messages outside of the list, and `state` behind the words that say what the cap
-- could not keep.
--- include: parse_layout group_message drop_closed_calls rpush_chunked starts_group find_back find_next_group set_group_pin
--- include: abandon_for_cap list_index begins_turn is_pinned trim_transcript save_layout
local function fit_batch(session, messages, loaded, entries, counters, settings, state)
  local layout, max_messages, dropped = parse_layout(loaded.layout), settings.max_messages, counters.dropped
  local before, count = counters.last_seq - #entries, counters.last_seq - dropped
  local new_pins, pins_from, abandoned = 0, {}, 0
  for at, entry in ipairs(entries) do
    local seq, is_new_pin = before + at, nil
    entries[at], is_new_pin = group_message(entry, seq, layout)
    if is_new_pin then new_pins = new_pins + 1 end
    if begins_turn(entries[at]) then counters.user_seq = seq end
    if is_pinned(entry) and not layout.is_pinned then pins_from[#pins_from + 1] = seq end
  end
  drop_closed_calls(layout)
  rpush_chunked(messages, entries)
  for _, seq in ipairs(pins_from) do -- a pinned message pins its whole group
    local at = list_index(seq, dropped, layout.gaps)
    new_pins = new_pins + set_group_pin(messages, find_back(messages, at, starts_group) or 0,
      find_next_group(messages, at, count), true)
    layout.is_pinned = layout.group > 0 and layout.group <= seq
  end
  -- At most half of the cap may be pinned. A group that grows past it is not pinned further.
  local pins = new_pins > 0 and redis.call('HINCRBY', session, 'pins', new_pins) or 0
  if max_messages > 0 and pins > max_messages / 2 then layout.is_pinned = false end
  if max_messages > 0 and count + layout.kept > max_messages then
    if settings.cap_policy ~= 'oldest' and #layout.open > 0 then
      abandoned = abandon_for_cap(messages, count, layout, dropped, max_messages)
      counters.user_seq = math.max(counters.user_seq, layout.user_seq or 0)
    end
    trim_transcript(session, messages, counters, layout, max_messages, settings.cap_policy, #entries)
  end
  local excess = counters.last_seq - counters.dropped + layout.kept - max_messages
  abandoned = abandoned + (layout.forgotten or 0)
  if abandoned > 0 then state = 'abandoned ' .. abandoned .. ' ' .. state end
  if max_messages > 0 and excess > 0 then state = 'over ' .. excess .. ' ' .. state end
  save_layout(session, layout)
  return layout.kept, state
end
