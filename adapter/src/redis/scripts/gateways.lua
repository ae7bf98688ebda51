-- Renews the lease of a gateway, or withdraws it, and says which are alive.
--
-- reads   gateways: number, and when the lease expires, a space, the lease
-- writes  the same, without those that have lapsed
-- says    the leases that are alive · nil: there are too many
local gateways, number, lease, ttl_ms, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fields = redis.call('HGETALL', gateways)

local alive, gone = {}, {}
for i = 1, #fields, 2 do
  local expiry, held = string.match(fields[i + 1], '^(%d+) (.*)$')
  if not expiry or tonumber(expiry) <= now then
    gone[#gone + 1] = fields[i]
  elseif fields[i] ~= number then
    alive[#alive + 1] = held
  end
end
if ttl_ms == 0 then
  gone[#gone + 1] = number
elseif #alive >= most then
  return nil
else
  redis.call('HSET', gateways, number, string.format('%.0f %s', now + ttl_ms, lease))
  alive[#alive + 1] = lease
end
if #gone > 0 then redis.call('HDEL', gateways, unpack(gone)) end
return alive
