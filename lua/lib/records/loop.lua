-- A loop of the ledger. Times are ms since the epoch, or '-'. `usage` is a row of usage numbers.
local function parse_loop(text)
  local status, created, started, finished, events, turns, steps, usage =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%d+) (%d+) (%d+) (.*)$')
  return {
    status = status, created = created, started = started, finished = finished, events = events + 0, turns = turns + 0,
    steps = steps + 0, usage = usage,
  }
end

local function format_loop(loop)
  return string.format('%s %s %s %s %d %d %d %s', loop.status, loop.created, loop.started, loop.finished, loop.events,
    loop.turns, loop.steps, loop.usage)
end
