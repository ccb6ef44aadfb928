-- Deliver a child's result to its parent, the first of the ancestors: into the transcript, or into the inbox while another
-- worker holds the parent's lease, the parent is paused, a limit of the parent refuses it, or a long inbox precedes it. A parent
-- that is gone, cancelled or ended gets nothing.
--- include: results_field load_session check_ancestors tail check_lease drain_inbox enqueue_inbox
local function deliver_result_to_parent(ancestor_keys, entry, batch, now_ms, now_us)
  local parent, messages, field = ancestor_keys[1], ancestor_keys[2], results_field(batch)
  local loaded = load_session(parent, '', field)
  if loaded.status ~= 'active' and loaded.status ~= 'paused' then return end
  if check_ancestors(tail(ancestor_keys, 3), loaded.lineage) then return end
  local is_locked, freed_lease = check_lease(loaded.lease, '', now_ms)
  loaded.never_ends, loaded.ancestor_keys = true, tail(ancestor_keys, 3)
  if not is_locked and loaded.status == 'active' then
    local result, _, again = drain_inbox(parent, messages, loaded, {entry}, field, batch, now_ms, now_us)
    if result and not again then
      if freed_lease then redis.call('HSET', parent, 'lease', freed_lease) end
      return
    end
    loaded = load_session(parent, '', field)
    if not loaded.incarnation then return end
  end
  enqueue_inbox(parent, messages, loaded, entry, field, batch, now_ms, 1)
end
