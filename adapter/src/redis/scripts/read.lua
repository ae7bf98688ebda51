-- The records after a position, without a hole, or the news that there is one.
--
-- reads   meta (epoch, seq) · log
-- writes  nothing
-- says    epoch, seq, and the records, or nil: some of them cannot be had · nil: there is no such stream
local known = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not known[1] then return nil end
local after, limit, seq = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(known[2])
local same = known[1] == ARGV[1] or (ARGV[1] == '' and after == 0)
local length = redis.call('LLEN', KEYS[2])
-- The index of the first record that is asked for.
local from = after - seq + length
if not same or after > seq or from < 0 then return { known[1], known[2], false } end
if limit == 0 then return { known[1], known[2], {} } end
return { known[1], known[2], redis.call('LRANGE', KEYS[2], from, from + limit - 1) }
