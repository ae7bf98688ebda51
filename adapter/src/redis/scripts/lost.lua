-- Finds out whether Redis has lost what it had acknowledged of a stream: it is at fewer entries of the log, or at fewer steps of
-- the sale, than a gateway has had. Stands before the scripts that need it. What was overtaken since is found out on a new
-- connection alone, see `settle`.
--
-- reads   meta (epoch, seq, bytes, day) · takers (steps)
-- writes  nothing, unless something was lost: meta (epoch) · clock · fields
--
-- From then on numbers name other entries, and the log begins another epoch. Whatever is left of it keeps its numbers. And
-- nobody knows any more what was sold: what was on sale is paused in the same step.

local function begin_epoch(has, epoch)
  -- Read before anything is written: a key of another type must not leave a new epoch with a sale that goes on.
  local clock, all = clock_at(has.clock), redis.call('HGETALL', has.fields)
  redis.call('HSET', has.meta, 'epoch', epoch)
  -- The clock has run back as well, and must not name a moment twice.
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  if clock < now then redis.call('SET', has.clock, string.format('%.0f', now)) end
  for i = 1, #all, 2 do
    local name, text = all[i], all[i + 1]
    if string.find(name, '^drop%.') or string.find(name, '^wheel%.') then
      local paused = string.gsub(string.gsub(text, '"status":"open"', '"status":"paused"'), '"status":"scheduled"', '"status":"paused"')
      if paused ~= text then redis.call('HSET', has.fields, name, paused) end
    end
  end
end

-- The position of a stream and what belongs to it: epoch, seq, bytes and day; and whether something was lost. Keys, and what
-- the gateway has seen, are what `has` and `seen` name.
local function position_of(has, seen)
  local known = redis.call('HMGET', has.meta, 'epoch', 'seq', 'bytes', 'day')
  local epoch = known[1]
  if not epoch then return known, false end
  local lost = epoch == seen.epoch and (tonumber(known[2]) or 0) < tonumber(seen.seq)
  if not lost and seen.steps and epoch == seen.sale_epoch then
    lost = tonumber(redis.call('HGET', has.takers, 'v') or 0) < tonumber(seen.steps)
  end
  if lost then
    begin_epoch(has, seen.new_epoch)
    known[1] = seen.new_epoch
  end
  return known, lost
end
