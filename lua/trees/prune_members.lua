-- Remove the records of members of a tree that have ended, whose sessions are gone, and that have no member below them. They
-- take none of the places of `max_descendants` any more. Their numbers are not used again, so that neither a mark nor a caller
-- takes a later member for one of them.
-- Returns how many records were removed.
-- Index: none
--- include: tail parse_member parse_spawn_counts
local root        = KEYS[1]           -- hash: the session at the root
local sessions    = tail(KEYS, 2)     -- hash of each named member
local incarnation = ARGV[1]           -- of the root
local seen        = tonumber(ARGV[2]) -- how many sessions the tree had spawned before the caller read its members
local named       = tail(ARGV, 3)     -- numbers of members that had none below them then

local found, tree, pruned = unpack(redis.call('HMGET', root, 'incarnation', 'tree', 'pruned'))
if found ~= incarnation then return 0 end
local has_below, removed, is_removed, fields, labels, ranges, at = {}, {}, {}, {}, {}, {}, 1
for number = seen + 1, parse_spawn_counts(tree).total do
  local parent = parse_member(redis.call('HGET', root, string.format('member.%d', number))).parent
  if parent then has_below[parent + 0] = true end
end
for position, number in ipairs(named) do
  number = number + 0
  local field = string.format('member.%d', number)
  local member = parse_member(redis.call('HGET', root, field))
  local has_ended = member.id and member.status ~= 'active' and not has_below[number]
  if has_ended and redis.call('HGET', sessions[position], 'incarnation') ~= member.incarnation then
    removed[#removed + 1], is_removed[number] = number, true
    fields[#fields + 1], fields[#fields + 2] = field, string.format('member_result.%d', number)
  end
end
if not removed[1] then return 0 end
for _, field in ipairs(redis.call('HKEYS', root)) do
  if string.find(field, '^label%.') then labels[#labels + 1] = field end
end
for first = 1, #labels, 500 do
  local last = math.min(first + 499, #labels)
  for position, number in ipairs(redis.call('HMGET', root, unpack(labels, first, last))) do
    if is_removed[number + 0] then fields[#fields + 1] = labels[first + position - 1] end
  end
end
for _, field in ipairs({'cancelled', 'requested'}) do
  local marks = string.gsub(redis.call('HGET', root, field) or '', ' (%d+)[^ ]*', function(number)
    if is_removed[number + 0] then return '' end
  end)
  if marks ~= '' then
    redis.call('HSET', root, field, marks)
  else
    fields[#fields + 1], fields[#fields + 2] = field, field .. '_why'
  end
end
for first = 1, #fields, 1000 do redis.call('HDEL', root, unpack(fields, first, math.min(first + 999, #fields))) end
table.sort(removed)
local function add_range(first, last)
  local newest = ranges[#ranges]
  if newest and newest[2] + 1 >= first then newest[2] = last else ranges[#ranges + 1] = {first, last} end
end
for first, last in string.gmatch(pruned or '', '(%d+)-(%d+)') do
  while removed[at] and removed[at] < first + 0 do
    add_range(removed[at], removed[at])
    at = at + 1
  end
  add_range(first + 0, last + 0)
end
for position = at, #removed do add_range(removed[position], removed[position]) end
for position, range in ipairs(ranges) do ranges[position] = string.format('%d-%d', range[1], range[2]) end
redis.call('HSET', root, 'pruned', table.concat(ranges, ','))
return #removed
