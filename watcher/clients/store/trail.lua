-- The newest audit entries, oldest first. ARGV: now, job (empty: of everything), how many.

local answer = {}
if ARGV[2] == '' then
  local newest = redis.call('XREVRANGE', P .. 'audit', '+', '-', 'COUNT', ARGV[3])
  for i = #newest, 1, -1 do answer[#answer + 1] = newest[i][2][2] end
  return answer
end
for _, at in ipairs(redis.call('LRANGE', P .. 'audit:' .. ARGV[2], -tonumber(ARGV[3]), -1)) do
  local entry = redis.call('XRANGE', P .. 'audit', at, at)[1]
  if entry then answer[#answer + 1] = entry[2][2] end
end
return answer
