-- Return whether a parked run goes on: 'done' when enough of its children have ended, 'timeout <children>' when its wait is over,
-- else nil, and the ms until its wait is over. `parked` is '<end of the wait in ms> <how many must end> <children>', and children
-- are '<number>:<incarnation> …'.
--- include: parse_member
local function check_parked(root, parked, now_ms)
  local until_ms, needed, children = string.match(parked, '^(%d+) (%d+) ?(.*)$')
  local ended = 0
  for number, incarnation in string.gmatch(children, '(%d+):(%S+)') do
    local member = parse_member(redis.call('HGET', root, 'member.' .. number))
    if member.incarnation ~= incarnation or member.status ~= 'active' then ended = ended + 1 end
  end
  if ended >= needed + 0 then return 'done', 0 end
  local left_ms = until_ms - now_ms
  return left_ms <= 0 and 'timeout ' .. children or nil, left_ms
end
