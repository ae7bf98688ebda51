-- A book of notes.
--
-- reads   counts · book
-- writes  nothing
-- says    the book's counter, then name and text of each note
local all, notes = redis.call('HGETALL', KEYS[5]), {}
for i = 1, #all, 2 do
  local ends, text = string.match(all[i + 1], '^(%d*):(.*)$')
  if ends == '' or now < tonumber(ends) then
    notes[#notes + 1] = all[i]
    notes[#notes + 1] = text
  end
end
return { redis.call('HGET', counts, 'book.' .. ARGV[1]) or '0', notes }
