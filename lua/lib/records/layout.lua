-- The layout of a transcript that is more than a plain list of complete messages: '<open> <group> <marks> <kept> <task> <gaps>'.
-- A session whose calls all have results, whose messages are all in the list, and whose seqs have no gaps stores none, or ''.
-- Parsed: {open = {{hash, seq}, …}, group, binds_next ('b', 'r' or false), is_pinned, kept, task, gaps = '<first>-<last>,…' or
-- ''}. A parsed layout may also have fields that are not stored: `seqs`, the seqs of the kept messages, once kept_seqs has read
-- them; `calls`, the open calls by hash, between index_calls and drop_closed_calls; `forgotten`, how many calls forget_calls gave
-- up; and what regroup_messages found: `abandoned`, how many calls it marked, and `user_seq`, the newest message that begins a
-- turn.
local function parse_layout(text)
  local layout = {
    open = {}, group = 0, binds_next = false, is_pinned = false, kept = 0, task = 0, gaps = '',
  }
  if not text or text == '' then return layout end
  local open, group, marks, kept, task, gaps = string.match(text, '^(%S+) (%d+) (%S+) (%d+) (%d+) (%S+)$')
  for hash, seq in string.gmatch(open, '(%w+):(%d+)') do layout.open[#layout.open + 1] = {hash, seq + 0} end
  layout.group, layout.kept, layout.task = group + 0, kept + 0, task + 0
  layout.binds_next = string.match(marks, '[br]')
  layout.is_pinned = string.find(marks, 'p', 1, true) ~= nil
  if gaps ~= '-' then layout.gaps = gaps end
  return layout
end

-- Return the stored text of a layout, or nil when there is nothing to store.
local function format_layout(layout)
  local open, gaps = {}, layout.gaps
  local has_group = #layout.open > 0 or layout.binds_next
  if not has_group and layout.kept == 0 and gaps == '' then return nil end
  for at, call in ipairs(layout.open) do open[at] = call[1] .. ':' .. call[2] end
  local marks = (layout.binds_next or '') .. (has_group and layout.is_pinned and 'p' or '')
  return string.format('%s %d %s %d %d %s', #open > 0 and table.concat(open, ',') or '-', has_group and layout.group or 0,
    marks ~= '' and marks or '-', layout.kept, layout.task, gaps ~= '' and gaps or '-')
end
