-- A snapshot for people; the fleet is marked if anything in it that they are told of has changed.
-- ARGV: now, key, snapshot, subject to mark, names of what they are told of.

local function read(snapshot)
  local ok, value = pcall(cjson.decode, snapshot)
  return ok and type(value) == 'table' and value or nil
end

-- When it was looked at is no news.
local function timeless(snapshot) return (string.gsub(snapshot, '"at":"[^"]*"', '', 1)) end

local old = redis.call('HGET', P .. 'views', ARGV[2])
if not old or timeless(old) ~= timeless(ARGV[3]) then shown() end
redis.call('HSET', P .. 'views', ARGV[2], ARGV[3])
if #ARGV > 4 then
  local was, is = old and read(old), read(ARGV[3])
  for i = 5, #ARGV do
    if not (was and is) or was[ARGV[i]] ~= is[ARGV[i]] then
      mark(ARGV[4])
      break
    end
  end
end
ring()
return {'ok'}
