-- All grants of a pool.
--
-- reads   ids · grants
-- writes  when takers are forgotten: replicas are asked whether they have what was written
-- says    the grants
keep(ARGV[1])
local ids, grants = redis.call('LRANGE', KEYS[5], 0, -1), {}
for first = 1, #ids, 1000 do
  local last = math.min(#ids, first + 999)
  local packed = redis.call('HMGET', KEYS[6], unpack(ids, first, last))
  for i = 1, last - first + 1 do
    if packed[i] then grants[#grants + 1] = said(ids[first + i - 1], cmsgpack.unpack(packed[i])) end
  end
end
return grants
