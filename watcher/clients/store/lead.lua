-- Takes, prolongs (ARGV[3] > 0, in ms) or gives up (0) the leadership. ARGV: now, replica, length.

local key = P .. 'leader'
local has = redis.call('HMGET', key, 'replica', 'until')
local ours = has[1] == ARGV[2]
if tonumber(ARGV[3]) == 0 then
  if ours then redis.call('DEL', key) end
  return 0
end
if not ours and has[1] and now < tonumber(has[2]) then return 0 end
redis.call('HSET', key, 'replica', ARGV[2], 'until', now + tonumber(ARGV[3]))
return 1
