-- Makes a grant final, or gives its units back.
--
-- reads   meta · grants
-- writes  grants · holds · counts · ledger
-- says    "D", "1" if it was so before or else "0", the grant, and if it was not so epoch and steps · "O": it is over ·
--         "U": there is none · "X": there is no such stream
local grants, holds = KEYS[5], KEYS[6]
local pool, id, confirm, by, most_records, retain_ms = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5], ARGV[6]

local epoch = redis.call('HGET', meta, 'epoch')
if not epoch then return { 'X' } end
local packed = redis.call('HGET', grants, id)
local grant = packed and cmsgpack.unpack(packed)
if not grant or string.sub(grant[6], 1, #pool) ~= pool then return { 'U' } end
local was = grant[1]
local stands = was == 'F' or (was == 'H' and now < tonumber(grant[2]))
if confirm and not stands then return { 'O' } end
if (confirm and was == 'F') or not (confirm or stands) then
  grant[1] = stands and 'F' or 'R'
  -- Something is written: replicas are asked whether they have it, and it may be the first answer that they had not.
  keep(retain_ms)
  return { 'D', '1', said(id, grant) }
end

try_keys()
redis.call('ZCARD', holds)
grant[1] = confirm and 'F' or 'R'
grant[3] = confirm and '' or '1'
redis.call('HSET', grants, id, cmsgpack.pack(grant))
if confirm then redis.call('ZREM', holds, id) else redis.call('ZADD', holds, whole(now), id) end
for i = 10, #grant, 2 do
  if confirm then count(grant[i], grant[i + 1]) elseif was == 'F' then uncount(grant[i], grant[i + 1]) end
end
if not confirm then count('returned.' .. grant[6], 1) end
record(most_records, confirm and 'confirm' or 'release', by, grant[9])
keep(retain_ms, grants, holds)
return { 'D', '0', said(id, grant), step(epoch) }
