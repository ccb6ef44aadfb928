-- A limit ended a session while it took messages: does all that follows from its end.
local function finale(session, messages, family, now)
  --- include: report conclude
  conclude(session, messages, family, now, 'completed', (report(session, family, now, 'completed', '', '')))
end
