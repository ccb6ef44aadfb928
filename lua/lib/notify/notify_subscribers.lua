-- Tell the subscribers of a session that something happened. A subscriber that waits for one message gets the word to ask,
-- once. A watcher gets the word and the fact, and stays while it can hear. A delta is for watchers only.
--- include: parse_waiter publish_to_waiter format_waiter
local function notify_subscribers(session, subscribers, now_ms, word, fact)
  local staying, at = {}, 1
  while at <= #subscribers do
    local subscriber
    subscriber, at = parse_waiter(subscribers, at)
    local stays = subscriber.until_ms - now_ms > 0
    if subscriber.detail == 'watch' then
      stays = stays and publish_to_waiter(subscriber, word, fact)
    elseif word ~= 'delta' then
      publish_to_waiter(subscriber, 'ask', '0 0')
      stays = false
    end
    if stays then staying[#staying + 1] = format_waiter(subscriber) end
  end
  staying = table.concat(staying)
  if staying == '' then
    redis.call('HDEL', session, 'subscribers')
  elseif staying ~= subscribers then
    redis.call('HSET', session, 'subscribers', staying)
  end
end
