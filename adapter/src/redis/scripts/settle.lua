-- A new connection: what a gateway has seen of a stream is held against what is there.
--
-- There may be as much as it has seen, and still not the same: another master went on from less, and has overtaken what was
-- lost. So the last entry that the gateway has had is looked up, and known by its moment; and what it has done last in the
-- sale: the last grant that it made or settled, and the last turn at a wheel, of which nothing else tells if it won nothing.
--
-- reads   meta · takers · log · grants
-- writes  nothing, unless something was lost, see `lost`
-- says    1 for a new epoch, else 0
local has = { meta = KEYS[1], fields = KEYS[2], clock = KEYS[3], takers = KEYS[4] }
local log, grants = KEYS[5], KEYS[6]
local seen = { epoch = ARGV[1], seq = ARGV[2], sale_epoch = ARGV[3], steps = ARGV[4], new_epoch = ARGV[5] }
local entry, moment, grant, state = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local pool, user, turn = ARGV[10], ARGV[11], tonumber(ARGV[12])

local known, lost = position_of(has, seen)

-- Whether another entry stands under the number. One that was trimmed tells nothing; nor does a log that is none.
local function is_another_entry()
  if known[1] ~= seen.epoch or entry == 0 then return false end
  local length = redis.pcall('LLEN', log)
  if type(length) ~= 'number' then return false end
  local index = entry - (tonumber(known[2]) or 0) + length - 1
  if index < 0 or index >= length then return false end
  local number, its_moment = string.match(redis.call('LINDEX', log, index), '^%d+ %S+ (%d+) (%d+) ')
  return tonumber(number) == entry and its_moment ~= moment
end

-- Whether the grant is not there, or as it was before. What was final can be given back, but does not run out. What cannot be
-- read tells nothing, and must not keep the gateway from its Redis.
local function is_grant_missing()
  if known[1] ~= seen.sale_epoch or grant == '' then return false end
  local packed = redis.pcall('HGET', grants, grant)
  if type(packed) == 'table' then return false end
  if not packed then return true end
  local is_clear, found = pcall(cmsgpack.unpack, packed)
  if not is_clear or type(found) ~= 'table' or not found[1] then return false end
  local given_back = found[1] == 'R' and found[3] == '1'
  return (state == 'R' and not given_back) or (state == 'F' and found[1] ~= 'F' and not given_back)
end

local function is_turn_missing()
  if known[1] ~= seen.sale_epoch or turn == 0 then return false end
  local made = tonumber(redis.call('HGET', has.takers, of_user(pool, user)) or 0)
  return made ~= nil and made < turn
end

if known[1] and not lost and (is_another_entry() or is_grant_missing() or is_turn_missing()) then
  begin_epoch(has, seen.new_epoch)
  lost = true
end
return lost and 1 or 0
