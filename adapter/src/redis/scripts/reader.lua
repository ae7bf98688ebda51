-- Makes somebody the one who reads the ledger under a name, unless somebody else is.
--
-- reads   meta · readers: "<until> <bytes of the owner>:<owner><how far it has come>" by name
-- writes  readers
-- says    how far it had come · nil: somebody else reads, or there are too many · "X" in a list: there is no such stream
local readers = KEYS[5]
local reader, owner, ttl_ms, advance, most, retain_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6]

if not exists() then return { 'X' } end
local known, position = redis.call('HGET', readers, reader), ''
if known then
  local held_until, bytes, rest = string.match(known, '^(%d+) (%d+):(.*)$')
  if string.sub(rest, 1, bytes) ~= owner and now < tonumber(held_until) then return nil end
  position = string.sub(rest, bytes + 1)
elseif redis.call('HLEN', readers) >= most then
  return nil
end
local next = advance == '-' and position or string.sub(advance, 2)
redis.call('HSET', readers, reader, whole(now + ttl_ms) .. ' ' .. #owner .. ':' .. owner .. next)
redis.call('PEXPIRE', readers, retain_ms)
return position
