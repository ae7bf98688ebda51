-- Writes something down that only gateways see.
--
-- reads   meta · book: "<until, or nothing>:<text>" by name
-- writes  book · counts · ledger; nothing if something else stands there
-- says    "N" and the book's counter · "D", "+" and what stands there or else "-" · "T": too many · "X": there is no such stream
local book = KEYS[5]
local name, key, text, held_until, was = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local most, most_records, retain_ms = tonumber(ARGV[6]), ARGV[7], ARGV[8]

if not exists() then return { 'X' } end
local function holding(value)
  local ends, rest = string.match(value, '^(%d*):(.*)$')
  return (ends == '' or now < tonumber(ends)) and rest
end
local stands = redis.call('HGET', book, key)
local held = stands and holding(stands)
-- "*": whatever it is.
local shown = held and '+' .. held or '-'
if was ~= '*' and was ~= shown then return { 'D', shown } end
try_keys()
if text ~= '-' and not stands and redis.call('HLEN', book) >= most then
  local all, left = redis.call('HGETALL', book), 0
  for i = 1, #all, 2 do
    if holding(all[i + 1]) then left = left + 1 else redis.call('HDEL', book, all[i]) end
  end
  if left >= most then return { 'T' } end
end
if text == '-' then
  redis.call('HDEL', book, key)
else
  redis.call('HSET', book, key, held_until .. ':' .. string.sub(text, 2))
end
if #ARGV > 8 then record(most_records, ARGV[9], ARGV[10], ARGV[11]) end
local revision = redis.call('HINCRBY', counts, 'book.' .. name, 1)
keep(retain_ms, book)
return { 'N', whole(revision) }
