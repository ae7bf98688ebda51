-- A gateway has had entries up to a number: if the log does not reach it any more, Redis has lost some, and the log begins
-- another epoch. Whatever is left of it keeps its numbers.
--
-- reads   meta (epoch, seq) · clock
-- writes  meta (epoch) · clock
-- says    1 for a new epoch, else 0
local known = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if known[1] ~= ARGV[1] or tonumber(known[2]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3])
-- The clock has run back as well, and must not name a moment twice.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if tonumber(redis.call('GET', KEYS[2]) or 0) < now then redis.call('SET', KEYS[2], string.format('%.0f', now)) end
return 1
