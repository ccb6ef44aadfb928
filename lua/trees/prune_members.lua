-- Remove the records of members of a tree that have ended, whose sessions are gone, and that have no member below them. They
-- take none of the places of `max_descendants` any more. Their numbers are not used again, so that neither a mark nor a caller
-- takes a later member for one of them.
-- Returns how many records were removed.
-- Index: none
--- include: tail read_tree_members parse_member parse_spawn_counts
local root        = KEYS[1]       -- hash: the session at the root
local sessions    = tail(KEYS, 2) -- hash of each named member
local incarnation = ARGV[1]       -- of the root
local named       = tail(ARGV, 2) -- numbers of members

local found, tree = unpack(redis.call('HMGET', root, 'incarnation', 'tree'))
if found ~= incarnation then return 0 end
local numbers, records = read_tree_members(root)
local ended_as, has_below, removed, fields, ranges, first = {}, {}, {}, {}, {}, 1
for at, number in ipairs(numbers) do
  local member = parse_member(records[at])
  ended_as[number] = member.status ~= 'active' and member.incarnation
  has_below[member.parent + 0] = true
end
for at, number in ipairs(named) do
  number = number + 0
  local run_id = ended_as[number]
  if run_id and not has_below[number] and redis.call('HGET', sessions[at], 'incarnation') ~= run_id then
    removed[number] = true
    fields[#fields + 1], fields[#fields + 2] = string.format('member.%d', number), string.format('member_result.%d', number)
  end
end
local count = #fields / 2
if count == 0 then return 0 end
for _, field in ipairs(redis.call('HKEYS', root)) do
  if string.find(field, '^label%.') and removed[redis.call('HGET', root, field) + 0] then fields[#fields + 1] = field end
end
for _, field in ipairs({'cancelled', 'requested'}) do
  local marks = string.gsub(redis.call('HGET', root, field) or '', ' (%d+)', function(number)
    if removed[number + 0] then return '' end
  end)
  if marks ~= '' then
    redis.call('HSET', root, field, marks)
  else
    fields[#fields + 1], fields[#fields + 2] = field, field .. '_why'
  end
end
for at = 1, #fields, 1000 do redis.call('HDEL', root, unpack(fields, at, math.min(at + 999, #fields))) end
numbers[#numbers + 1] = parse_spawn_counts(tree).total + 1
for _, number in ipairs(numbers) do
  if not removed[number] then
    if number > first then ranges[#ranges + 1] = string.format('%d-%d', first, number - 1) end
    first = number + 1
  end
end
redis.call('HSET', root, 'pruned', table.concat(ranges, ','))
return count
