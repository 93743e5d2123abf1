-- Writes what stands at a place. ARGV: now, subject, key, version that was read, record,
-- how long it is kept in ms.

local key = P .. 'delivered:' .. ARGV[2]
local old = redis.call('HGET', key, ARGV[3])
if old then
  local ok, was = pcall(cjson.decode, old)
  if not ok or type(was) ~= 'table' or type(was.version) ~= 'number' then return {'unreadable'} end
  if was.version ~= tonumber(ARGV[4]) then return {'conflict', was.version} end
elseif ARGV[4] ~= '0' then
  return {'conflict', 0}
end
redis.call('HSET', key, ARGV[3], ARGV[5])
redis.call('PEXPIRE', key, ARGV[6])
return {'ok'}
