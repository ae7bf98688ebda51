-- Names in takers. Stands before the scripts that need them.

-- Names of one kind that cannot be mistaken for each other, whatever is in them.
local function of_two(kind, one, other) return kind .. #one .. ':' .. one .. other end
local function of_user(pool, user) return of_two('u:', pool, user) end
local function of_prize(pool, prize) return of_two('p:', pool, prize) end
local function of_request(pool, user, request) return of_two('r:', pool, of_two('', user, request)) end

