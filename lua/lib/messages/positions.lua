-- Seqs and list positions. `dropped` is the highest seq minus the length of the list. Without gaps a message with a seq is at
-- index seq - dropped - 1. A gap is a range of seqs whose messages were popped or replaced: '<first>-<last>', ascending.
-- Return the index of the first message with at least a seq.
local function list_index(seq, dropped, gaps)
  if gaps == '' then return seq - dropped - 1 end
  local missing = 0 -- behind the seq
  for first, last in string.gmatch(gaps, '(%d+)-(%d+)') do
    first, last = first + 0, last + 0
    if last >= seq then missing = missing + last - math.max(first, seq) + 1 end
  end
  return seq - dropped - 1 + missing
end

-- Return the seq of the message at an index.
local function list_seq(index, dropped, gaps)
  if gaps == '' then return dropped + index + 1 end
  local missing = 0
  for first, last in string.gmatch(gaps, '(%d+)-(%d+)') do missing = missing + last - first + 1 end
  local seq = dropped - missing + index + 1
  for first, last in string.gmatch(gaps, '(%d+)-(%d+)') do
    if first + 0 <= seq then seq = seq + last - first + 1 end
  end
  return seq
end

-- Return the gaps behind the head of the list: a gap before the head counts as dropped messages.
local function gaps_behind(head, gaps)
  return (string.gsub(gaps, '%d+-(%d+),?', function(last)
    if last + 0 < head then return '' end
  end))
end

-- Return the gaps with one more at the tail, from `first` to `last`, the highest seq.
local function gaps_with(gaps, first, last)
  local kept = {}
  for gap_first, gap_last in string.gmatch(gaps, '(%d+)-(%d+)') do
    if gap_last + 1 < first then
      kept[#kept + 1] = gap_first .. '-' .. gap_last
    else
      first = math.min(first, gap_first + 0)
    end
  end
  kept[#kept + 1] = string.format('%.0f-%.0f', first, last)
  return table.concat(kept, ',')
end
