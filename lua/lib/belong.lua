-- Whether a child may write: the refusal when its ancestors were not all named (so that the caller does, and asks again), when
-- its root is gone, or when it or one above it was cancelled. `place`: '<number> <root's life> <path> <id> <ancestor> …',
-- or false for a root. The second answer says that it is only the names that are missing.
local function belong(family, place)
  if not place then return end
  local life, path, chain = string.match(place, '^%d+ (%S+) (%S+) %S+ (.*)$')
  local _, ancestors = string.gsub(chain, '%S+', '')
  if #family ~= ancestors * 2 then return redis.error_reply('CHAIN ' .. chain), true end
  local root = redis.call('HMGET', family[#family - 1], 'life', 'cancelled')
  if root[1] ~= life then return redis.error_reply('NOT_ACTIVE cancelled') end
  for number in string.gmatch(root[2] or '', '%d+') do
    if string.find(path, '/' .. number .. '/', 1, true) then return redis.error_reply('NOT_ACTIVE cancelled') end
  end
end
